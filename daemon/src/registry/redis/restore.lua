-- Gives back to the registry what a mirror holds and the registry may have lost. Several daemons may do so at once, and
-- again: of two states the one with the larger revision stays.
--
-- KEYS registry, records, keys, changes, tombstones
-- ARGV history, channel, then for each record: key, revision, JSON text ('' for a deleted one)
-- Returns the keys of which the registry's own state is newer.
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
local pruned = tonumber(redis.call('HGET', KEYS[1], 'pruned'))
local lost, newer = {}, {}
for at = 3, #ARGV, 3 do
  local record, revision = redis.call('HGET', KEYS[2], ARGV[at]), tonumber(ARGV[at + 1])
  local stands = record and tonumber(string.match(record, '^%d+'))
  if stands and stands > revision then
    newer[#newer + 1] = ARGV[at]
  elseif not stands and revision <= pruned then
    -- Deleted so long ago that the deletion is not noted any more.
  elseif not stands or stands < revision then
    lost[#lost + 1] = at
  end
end
if #lost > 0 then
  redis.call('HINCRBY', KEYS[1], 'generation', 1)
  local generation = redis.call('HGET', KEYS[1], 'generation')
  for _, at in ipairs(lost) do
    local key, revision, text = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if text == '' then
      redis.call('HSET', KEYS[2], key, revision)
      redis.call('ZREM', KEYS[3], key)
      redis.call('ZADD', KEYS[5], revision, key)
    else
      redis.call('HSET', KEYS[2], key, revision .. ' ' .. text)
      redis.call('ZADD', KEYS[3], 0, key)
      redis.call('ZREM', KEYS[5], key)
    end
    redis.call('ZADD', KEYS[4], generation, key)
  end
  redis.call('PUBLISH', ARGV[2], generation)
end
return newer
