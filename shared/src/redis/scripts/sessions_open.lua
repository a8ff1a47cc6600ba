-- Registers sessions of one gateway.
-- KEYS: [1] online users (sorted set), [2] grace periods (sorted set), [3] this gateway's sessions (set)
-- ARGV: [1] prefix of the users' session sets, [2] gateway, then per session: user, connection
-- Returns how many users were not online before.
local came = 0
for at = 3, #ARGV, 2 do
  local user, connection = ARGV[at], ARGV[at + 1]
  redis.call('SADD', ARGV[1] .. user, ARGV[2] .. ':' .. connection)
  redis.call('SADD', KEYS[3], user .. ':' .. connection)
  redis.call('ZREM', KEYS[2], user)
  if redis.call('ZADD', KEYS[1], 'NX', 0, user) == 1 then
    came = came + 1
  end
end
return came
