-- KEYS registry, records, changes   ARGV history, generation
-- Returns the generation now, whether what follows is all there is ('1') or only what changed since ('0'), and in turn
-- keys, the generations they changed at, and their records; as of one moment.
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
local pruned = tonumber(redis.call('HGET', KEYS[1], 'pruned'))
local all = tonumber(ARGV[2]) < pruned
local from = all and '-inf' or ('(' .. ARGV[2])
local changed = redis.call('ZRANGEBYSCORE', KEYS[3], from, '+inf', 'WITHSCORES')
local found = { redis.call('HGET', KEYS[1], 'generation'), all and '1' or '0' }
for first = 1, #changed, 2000 do
  local last, keys = math.min(first + 1999, #changed), {}
  for at = first, last, 2 do keys[#keys + 1] = changed[at] end
  for at, record in ipairs(redis.call('HMGET', KEYS[2], unpack(keys))) do
    found[#found + 1] = keys[at]
    found[#found + 1] = changed[first + 2 * at - 1]
    found[#found + 1] = record
  end
end
return found
