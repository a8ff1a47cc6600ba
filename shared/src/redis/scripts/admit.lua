-- Appends a batch of commands, each after its sender's rate limit. One round trip for the whole batch, or, where a cluster keeps
-- streams and rate-limit keys apart, a run for each slot, those for rate-limit keys first.
-- KEYS: [1..s] streams, [s+1..] rate-limit keys
-- ARGV: [1] s, [2] window in seconds, [3] field name,
--       then per command: stream index (1-based; 0: not appended), rate key index (0: not limited), limit, entry
-- Returns per command 0 if admitted, otherwise the seconds until the sender may try again.
-- A rate key packs (second, count) pairs as big-endian u32 each, oldest first.
local streams = tonumber(ARGV[1])
local window, field = tonumber(ARGV[2]), ARGV[3]
local now = tonumber(redis.call('TIME')[1])
local users, result = {}, {}

local function load(index)
  local packed = redis.call('GET', KEYS[streams + index]) or ''
  local user = { total = 0, seconds = {}, counts = {} }
  for at = 1, #packed - 7, 8 do
    local second, count = struct.unpack('>I4I4', packed, at)
    if second > now - window then
      user.seconds[#user.seconds + 1] = second
      user.counts[#user.counts + 1] = count
      user.total = user.total + count
    end
  end
  return user
end

for at = 4, #ARGV, 4 do
  local stream, index, retry_after = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), 0
  if index > 0 then
    local user = users[index]
    if not user then
      user = load(index)
      users[index] = user
    end
    if user.total >= tonumber(ARGV[at + 2]) then
      retry_after = math.max(1, (user.seconds[1] or now) + window - now)
    else
      local last = #user.seconds
      if last > 0 and user.seconds[last] >= now then
        user.counts[last] = user.counts[last] + 1
      else
        user.seconds[last + 1], user.counts[last + 1] = now, 1
      end
      user.total = user.total + 1
      user.changed = true
    end
  end
  if retry_after == 0 and stream > 0 then
    redis.call('XADD', KEYS[stream], '*', field, ARGV[at + 3])
  end
  result[#result + 1] = retry_after
end

for index, user in pairs(users) do
  if user.changed then
    local packed = {}
    for i = 1, #user.seconds do
      packed[i] = struct.pack('>I4I4', user.seconds[i], user.counts[i])
    end
    redis.call('SET', KEYS[streams + index], table.concat(packed), 'EX', window)
  end
end
return result
