-- Ends the grace periods that are over. Users who went offline stay listed until it was announced: another caller gets
-- them again if this one dies. Each is returned to one caller at a time.
-- KEYS: [1] online users (sorted set), [2] grace periods (sorted set)
-- ARGV: [1] prefix of the users' session sets, [2] now, [3] how many at most, [4] the latest end of a grace period,
--       [5] when users who are still listed are returned again
-- Returns the users who went offline.
local gone = {}
for _, user in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[4], '+inf', 'LIMIT', 0, ARGV[3])) do
  redis.call('ZADD', KEYS[2], ARGV[4], user)
end
for _, user in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
  if redis.call('EXISTS', ARGV[1] .. user) == 1 then
    redis.call('ZREM', KEYS[2], user)
  else
    redis.call('ZREM', KEYS[1], user)
    redis.call('ZADD', KEYS[2], ARGV[5], user)
    gone[#gone + 1] = user
  end
end
return gone
