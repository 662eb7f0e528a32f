-- What several gateways share of limits: one bucket and one day for each key. Eight numbers come for each:
-- microseconds of one token (0: no bucket), tokens of the bucket, then in thousandths what is owed and what is wanted;
-- the day, its limit (0: none), what was taken of it since the last report, and what the gateway knew of it before.
-- Four go back: granted, left, microseconds until a token is there, taken on this day by all.
-- The first key marks the call. One whose answer was lost is made again, word for word, and counts once.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local again = not redis.call('SET', KEYS[1], 1, 'NX', 'EX', 300)
local out = {}
for i = 2, #KEYS do
  local at = (i - 2) * 8
  local step, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local owed, wanted = tonumber(ARGV[at + 3]) / 1000, tonumber(ARGV[at + 4]) / 1000
  local day, limit = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local spent, known = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  if again then
    owed, wanted, spent = 0, 0, 0
  end
  local kept = redis.call('HMGET', KEYS[i], 't', 'd', 'u')
  local full, used, ttl = now, 0, 60000
  local left = wanted
  if limit > 0 then
    local of = tonumber(kept[2] or 0) or 0
    used = tonumber(kept[3] or 0) or 0
    if day > of then
      of, used = day, 0
    end
    -- A report of yesterday that comes late counts for nobody's today. What was forgotten here is taught again.
    if day == of then
      used = math.max(used, known) + spent
    end
    day = of
    left = math.max(0, (limit - used) / 1000)
    ttl = 172800000
  end
  local granted, wait = 0, 0
  if step > 0 then
    full = math.max(tonumber(kept[1] or 0) or 0, now) + owed * step
    full = math.min(math.max(full, now), now + 2 * burst * step)
    local room = burst - (full - now) / step
    granted = math.max(0, math.floor(math.min(wanted, room, limit > 0 and left or wanted) * 1000) / 1000)
    full = full + granted * step
    left = room - granted
    if left < 1 then
      wait = math.ceil((1 - left) * step)
    end
    ttl = math.max(ttl, math.ceil((full - now) / 1000) + 60000)
  end
  redis.call('HSET', KEYS[i], 't', string.format('%.3f', full), 'd', day, 'u', used)
  redis.call('PEXPIRE', KEYS[i], ttl)
  out[#out + 1] = math.floor(granted * 1000 + 0.5)
  out[#out + 1] = math.floor(left * 1000)
  out[#out + 1] = wait
  out[#out + 1] = used
end
return out
