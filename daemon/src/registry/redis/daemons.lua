-- KEYS addresses, times   ARGV life in ms
-- Returns daemons and addresses in turn.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for _, daemon in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.0f', now - ARGV[1]), '+inf')) do
  found[#found + 1] = daemon
  found[#found + 1] = redis.call('HGET', KEYS[1], daemon)
end
return found
