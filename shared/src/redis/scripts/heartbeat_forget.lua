-- Forgets a gateway, unless it is listed with another heartbeat than this one.
-- KEYS: [1] heartbeats (sorted set)
-- ARGV: [1] gateway, [2] the heartbeat
-- Returns 1 if it was forgotten.
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
if beat and tonumber(beat) == tonumber(ARGV[2]) then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
