-- Takes users off the list whose going offline was announced, except those who are back.
-- KEYS: [1] online users (sorted set), [2] grace periods (sorted set)
-- ARGV: the users
-- Returns how many were taken off.
local ended = 0
for _, user in ipairs(ARGV) do
  if not redis.call('ZSCORE', KEYS[1], user) then
    ended = ended + redis.call('ZREM', KEYS[2], user)
  end
end
return ended
