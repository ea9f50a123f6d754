-- KEYS registry, keys   ARGV history, first and end of a range of keys
-- Returns how many keys there are.
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
return redis.call('ZLEXCOUNT', KEYS[2], ARGV[2], ARGV[3])
