-- What clients and the product's backend attach to messages and groups, sealed as one byte string with its key id in it. Workers of
-- earlier releases leave the columns as they are.
ALTER TABLE private_messages ADD COLUMN metadata BYTEA;
ALTER TABLE group_chats ADD COLUMN metadata BYTEA;
