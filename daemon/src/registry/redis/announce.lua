-- KEYS addresses, times   ARGV daemon, address, life in ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. string.format('%.0f', now - ARGV[3]))
for _, daemon in ipairs(gone) do
  redis.call('HDEL', KEYS[1], daemon)
  redis.call('ZREM', KEYS[2], daemon)
end
return redis.status_reply('OK')
