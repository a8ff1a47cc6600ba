-- Counts one request of an address in a sliding window.
-- KEYS: [1] the address's requests
-- ARGV: [1] limit, [2] window in seconds, [3] slice in seconds
-- Returns 0 if it is within the limit, otherwise the seconds until the next one is allowed.
-- The value packs (slice's first second, count) pairs as big-endian u32 each, oldest first.
local limit, window, slice = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local current = now - now % slice
local packed = redis.call('GET', KEYS[1]) or ''
local kept, total, oldest, last, last_count = {}, 0, nil, nil, 0
for at = 1, #packed - 7, 8 do
  local second, count = struct.unpack('>I4I4', packed, at)
  if second + slice > now - window then
    if last then kept[#kept + 1] = struct.pack('>I4I4', last, last_count) end
    last, last_count = second, count
    oldest = oldest or second
    total = total + count
  end
end
if total >= limit then
  return math.max(1, oldest + slice + window - now)
end
if last and last >= current then
  last_count = last_count + 1
else
  if last then kept[#kept + 1] = struct.pack('>I4I4', last, last_count) end
  last, last_count = current, 1
end
kept[#kept + 1] = struct.pack('>I4I4', last, last_count)
redis.call('SET', KEYS[1], table.concat(kept), 'EX', window + slice)
return 0
