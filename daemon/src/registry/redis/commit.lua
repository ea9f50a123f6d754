-- KEYS registry, records, keys, changes, tombstones, this commit
-- ARGV history, channel, life of this commit's outcome in ms, tombstones at most, then for each write: key, revision
--      expected ('' for none), 'put', 'delete' or 'keep', JSON text
-- Returns 'done' and the generation, or 'conflict' and the key that is not as expected.
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
-- Sent again because the answer was lost: it is applied once, and answered as it was.
local outcome = redis.call('GET', KEYS[6])
if outcome then return { 'done', outcome } end

local writes = false
for at = 5, #ARGV, 4 do
  local record = redis.call('HGET', KEYS[2], ARGV[at])
  -- A deleted record is a revision without text.
  local revision = record and string.match(record, '^(%d+) ') or ''
  if revision ~= ARGV[at + 1] then return { 'conflict', ARGV[at] } end
  writes = writes or ARGV[at + 2] ~= 'keep'
end
if not writes then return { 'done', redis.call('HGET', KEYS[1], 'generation') } end

redis.call('HINCRBY', KEYS[1], 'generation', 1)
-- As text: Lua would print large numbers rounded.
local generation = redis.call('HGET', KEYS[1], 'generation')
for at = 5, #ARGV, 4 do
  local key, change = ARGV[at], ARGV[at + 2]
  if change == 'put' then
    redis.call('HSET', KEYS[2], key, generation .. ' ' .. ARGV[at + 3])
    redis.call('ZADD', KEYS[3], 0, key)
    redis.call('ZREM', KEYS[5], key)
    redis.call('ZADD', KEYS[4], generation, key)
  elseif change == 'delete' then
    redis.call('HSET', KEYS[2], key, generation)
    redis.call('ZREM', KEYS[3], key)
    redis.call('ZADD', KEYS[5], generation, key)
    redis.call('ZADD', KEYS[4], generation, key)
  end
end

-- Whoever is further behind than the deletions still noted reads everything.
local surplus = redis.call('ZCARD', KEYS[5]) - tonumber(ARGV[4])
if surplus > 0 then
  local pruned = tonumber(redis.call('HGET', KEYS[1], 'pruned'))
  local oldest = redis.call('ZPOPMIN', KEYS[5], surplus)
  for at = 1, #oldest, 2 do
    pruned = math.max(pruned, tonumber(redis.call('ZSCORE', KEYS[4], oldest[at])))
    redis.call('ZREM', KEYS[4], oldest[at])
    redis.call('HDEL', KEYS[2], oldest[at])
  end
  redis.call('HSET', KEYS[1], 'pruned', string.format('%.0f', pruned))
end
redis.call('SET', KEYS[6], generation, 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[2], generation)
return { 'done', generation }
