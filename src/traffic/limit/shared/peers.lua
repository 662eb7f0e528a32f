-- How many gateways share limits here: each says every few seconds that it is there. Nobody counts who was silent for as
-- long as the second argument says. Goes back: their number, and the seconds of this clock.
local now = tonumber(redis.call('TIME')[1])
local kind = redis.call('TYPE', KEYS[1])
if (kind.ok or kind) ~= 'zset' then
  redis.call('DEL', KEYS[1])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
-- A clock that was set back leaves nobody behind in the future.
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1, '+inf')
redis.call('EXPIRE', KEYS[1], 60)
return {redis.call('ZCARD', KEYS[1]), now}
