-- KEYS registry, records, keys   ARGV history, first and end of a range of keys
-- Returns keys and records in turn, ascending in key, as of one moment.
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
local keys = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], ARGV[3])
local found = {}
for first = 1, #keys, 1000 do
  local records = redis.call('HMGET', KEYS[2], unpack(keys, first, math.min(first + 999, #keys)))
  for at, record in ipairs(records) do
    found[#found + 1] = keys[first + at - 1]
    found[#found + 1] = record
  end
end
return found
