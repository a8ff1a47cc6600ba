-- Announces revoked tokens, each once in the fleet: tokens that another worker announced are skipped.
-- KEYS[1] sorted set of announced tokens by time. ARGV[1] channel, ARGV[2] now in ms, ARGV[3] forget what is older (ms),
-- then pairs of a token's hash and the publication. Returns how many were announced.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2] - ARGV[3])
local announced = 0
for i = 4, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[i]) == 1 then
    redis.call('PUBLISH', ARGV[1], ARGV[i + 1])
    announced = announced + 1
  end
end
return announced
