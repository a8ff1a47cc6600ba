-- Ids of the server that this one replaced, as clients may still hold them, where they are not ids of ours: `chatctl import
-- original` writes them, everybody else reads. A bare UUID is not here: it stays the UUID of its message. Nor is a direct
-- conversation's id with the two users in another order, which every process understands without asking.

CREATE TABLE held_message_ids (
    held_id    TEXT PRIMARY KEY,
    message_id UUID NOT NULL UNIQUE
);

-- Several ids can stand for one conversation: clients made their own.
CREATE TABLE held_conversation_ids (
    held_id         TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL
);
CREATE INDEX held_conversation_ids_conversation ON held_conversation_ids (conversation_id, held_id);
