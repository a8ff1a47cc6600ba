-- Sets how many connections of an address one gateway has, if all live gateways together stay within the limit.
-- KEYS: [1] the address's connections per gateway
-- ARGV: [1] this gateway, [2] its connections with the new one, [3] limit, [4] lifetime in seconds, [5..] the other live
--       gateways
-- Returns 1 if admitted, 0 if not (then nothing is changed).
local total = tonumber(ARGV[2])
for at = 5, #ARGV do
  total = total + tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or '0')
end
if total > tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
