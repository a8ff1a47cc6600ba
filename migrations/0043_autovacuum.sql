-- What autovacuum does by a share of a table's rows comes too seldom once there are many.

-- Only a vacuum lets unread messages be counted by an index alone, and these are the newest: with the default, a fifth of the table
-- would have to be inserted first. A vacuum for inserts reads only what is new, and leaves the indexes alone.
ALTER TABLE private_messages SET (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Rows that change with every message.
ALTER TABLE conversations SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE conversation_members SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Rows that come and go.
ALTER TABLE event_queue SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE event_log SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE conversation_changes SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE applied_commands SET (autovacuum_vacuum_scale_factor = 0.05);
