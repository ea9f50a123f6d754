-- KEYS registry, records   ARGV history, key
-- Returns the record: its revision, and after a space its JSON text, which a deleted record lacks.
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
return redis.call('HGET', KEYS[2], ARGV[2])
