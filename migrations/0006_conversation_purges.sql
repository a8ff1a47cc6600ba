-- Direct conversations of which a long history was deleted for both: nobody sees it any more, and the messages up to this number
-- go in the background, so that no transaction holds the partition for long.
CREATE TABLE conversation_purges (
    conversation_id TEXT PRIMARY KEY,
    up_to_seq       BIGINT NOT NULL,
    since           TIMESTAMPTZ NOT NULL DEFAULT now()
);
