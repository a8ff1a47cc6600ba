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

-- All pairs are unpacked by one call, and only the last one is packed again, because this runs for nearly every message.
local function load(index)
  local packed = redis.call('GET', KEYS[streams + index]) or ''
  local kept = math.min(math.floor(#packed / 8), window)
  local numbers = { struct.unpack('>' .. string.rep('I4I4', kept), packed) }
  local user = { total = 0, earlier = '' }
  for at = 1, 2 * kept, 2 do
    if numbers[at] > now - window then
      if not user.oldest then
        user.oldest = numbers[at]
        user.earlier = string.sub(packed, 4 * at - 3, 8 * kept - 8)
        user.last, user.count = numbers[2 * kept - 1], numbers[2 * kept]
      end
      user.total = user.total + numbers[at + 1]
    end
  end
  return user
end

local function count(user)
  if user.last and user.last >= now then
    user.count = user.count + 1
  else
    if user.last then
      user.earlier = user.earlier .. struct.pack('>I4I4', user.last, user.count)
    end
    user.oldest = user.oldest or now
    user.last, user.count = now, 1
  end
  user.total = user.total + 1
  user.changed = true
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
      retry_after = math.max(1, (user.oldest or now) + window - now)
    else
      count(user)
    end
  end
  if retry_after == 0 and stream > 0 then
    redis.call('XADD', KEYS[stream], '*', field, ARGV[at + 3])
  end
  result[#result + 1] = retry_after
end

for index, user in pairs(users) do
  if user.changed then
    local packed = user.earlier .. struct.pack('>I4I4', user.last, user.count)
    redis.call('SET', KEYS[streams + index], packed, 'EX', window)
  end
end
return result
