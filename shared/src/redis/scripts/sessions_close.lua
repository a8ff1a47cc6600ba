-- Removes sessions of one gateway. A user without further sessions gets a grace period.
-- KEYS: [1] online users (sorted set), [2] grace periods (sorted set), [3] the gateway's sessions (set)
-- ARGV: [1] prefix of the users' session sets, [2] gateway, [3] end of a grace period that starts now,
--       then per session: user, connection
local ended = 0
for at = 4, #ARGV, 2 do
  local user, connection = ARGV[at], ARGV[at + 1]
  redis.call('SREM', KEYS[3], user .. ':' .. connection)
  local sessions = ARGV[1] .. user
  if redis.call('SREM', sessions, ARGV[2] .. ':' .. connection) == 1 and redis.call('EXISTS', sessions) == 0
    and redis.call('ZSCORE', KEYS[1], user) then
    redis.call('ZADD', KEYS[2], 'NX', ARGV[3], user)
    ended = ended + 1
  end
end
return ended
