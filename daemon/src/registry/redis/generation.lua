-- KEYS registry   ARGV history
if redis.call('HGET', KEYS[1], 'history') ~= ARGV[1] then return redis.error_reply('HISTORY has changed') end
return redis.call('HGET', KEYS[1], 'generation')
