-- Returns the time of the server that has a key: the servers of a cluster may differ.
-- KEYS: [1] any key
-- Returns seconds since the epoch, and microseconds.
return redis.call('TIME')
