-- Lists users as online again after a loss of data. Users without a session get a grace period.
-- KEYS: [1] online users (sorted set), [2] grace periods (sorted set)
-- ARGV: [1] prefix of the users' session sets, [2] end of the grace period, then the users
-- Returns the number of users without a session.
local waiting = 0
for at = 3, #ARGV do
  local user = ARGV[at]
  redis.call('ZADD', KEYS[1], 'NX', 0, user)
  if redis.call('EXISTS', ARGV[1] .. user) == 0 then
    redis.call('ZADD', KEYS[2], 'NX', ARGV[2], user)
    waiting = waiting + 1
  end
end
return waiting
