-- Removes members whose typing has timed out. Each is returned to one caller only, and never one that was renewed meanwhile.
-- KEYS: [1] typing (sorted set)
-- ARGV: [1] now, [2] how many at most
-- Returns the removed members.
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #ended > 0 then
  redis.call('ZREM', KEYS[1], unpack(ended))
end
return ended
