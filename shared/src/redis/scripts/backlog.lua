-- Reads how much waits in streams, and for how long, by Redis' own clock, which sets the entries' ids.
-- KEYS: streams
-- Returns per stream its length and the age of its first entry in milliseconds (0 if it is empty).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local result = {}
for _, stream in ipairs(KEYS) do
  local length, age = redis.call('XLEN', stream), 0
  if length > 0 then
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if first then
      age = math.max(0, now - tonumber(string.match(first[1], '^%d+')))
    end
  end
  result[#result + 1] = length
  result[#result + 1] = age
end
return result
