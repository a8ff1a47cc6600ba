-- Makes one worker the only reader of streams: its consumer group is created at the beginning, so that it reads all that
-- is not settled, in order; every other group is destroyed, so that a former owner's read fails instead of taking entries.
-- KEYS: streams
-- ARGV: [1] group
for _, stream in ipairs(KEYS) do
  if redis.call('EXISTS', stream) == 1 then
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      redis.call('XGROUP', 'DESTROY', stream, info[2])
    end
  end
  redis.call('XGROUP', 'CREATE', stream, ARGV[1], '0', 'MKSTREAM')
end
return #KEYS
