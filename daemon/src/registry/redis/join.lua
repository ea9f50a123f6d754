-- Joins the registry on the server that now holds it, creating it where there is none.
--
-- A server process that did not hold it before may lack acknowledged commits: a replica that was promoted, a master
-- that came back from an older file, an empty one. That starts a new history. Its generations begin far above any that
-- the old one can have reached, so that of two states of a record the one with the larger revision is the newer,
-- whichever history it comes from.
--
-- KEYS registry   ARGV schema, server, name of a new history, id of a new registry, id expected or '', generation known,
--                      gap
-- Returns id, history, its parent, the generation at which it forked from that, and its age in ms.
local function field(name) return redis.call('HGET', KEYS[1], name) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local schema = field('schema')
if schema and schema ~= ARGV[1] then return redis.error_reply('SCHEMA ' .. schema) end
local id = field('id')
if id and ARGV[5] ~= '' and id ~= ARGV[5] then return redis.error_reply('FOREIGN ' .. id) end
-- Written for the sake of writing: a server that refuses writes is not joined.
redis.call('HSET', KEYS[1], 'joined', string.format('%.0f', now))
if not id then
  id = ARGV[4]
  redis.call('HSET', KEYS[1], 'id', id, 'schema', ARGV[1], 'generation', '0', 'pruned', '0')
end

local generation, known = tonumber(field('generation')), tonumber(ARGV[6])
if not field('history') or field('server') ~= ARGV[2] or generation < known then
  local from, began = math.max(generation, known), 0
  -- The first history of a registry loses nothing, so nobody has to wait for what others give back.
  if from > 0 then from, began = from + tonumber(ARGV[7]), now end
  redis.call('HSET', KEYS[1], 'parent', field('history') or '', 'forked_at', string.format('%.0f', generation),
    'history', ARGV[3], 'began', string.format('%.0f', began), 'server', ARGV[2],
    'generation', string.format('%.0f', from))
end
local age = string.format('%.0f', math.max(0, now - field('began')))
return { id, field('history'), field('parent'), field('forked_at'), age }
