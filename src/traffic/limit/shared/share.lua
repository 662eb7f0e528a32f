-- What several gateways share of limits: one bucket and one day for each key. The first number says into how many parts
-- what a bucket has is cut: a lease is one of them at most. The second names the gateway. Then eleven numbers for each key:
-- picoseconds of one token (0: no bucket), tokens of the bucket, then in thousandths what is owed and what is wanted;
-- the day, its limit (0: none), what was taken of it since the last report, and what the gateway knew of it before;
-- what is missing in the gateway's own bucket, the microseconds in which it took what it tells of; and what was missing
-- here when it heard last, with what it took since.
-- Four go back: granted, left, whether no other gateway tells of this key (1), taken on this day by all (-1: it is another
-- day here).
-- The first key marks the call. One whose answer was lost is made again, word for word: it counts once, and gets the
-- same answer.
-- Moments and days are those of this clock, whatever the gateways' say.
local before = redis.pcall('GET', KEYS[1])
if type(before) == 'string' then
  local out = {}
  for number in string.gmatch(before, '%S+') do
    out[#out + 1] = tonumber(number)
  end
  return out
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local today = math.floor(tonumber(clock[1]) / 86400)
local cut, me = math.max(1, tonumber(ARGV[1])), ARGV[2]
-- A number that was kept, or another one where none was, or nonsense.
local function number(kept, other)
  local value = tonumber(kept or other) or other
  if value ~= value or math.abs(value) > 1e18 then
    return other
  end
  return value
end
local out, said = {}, {}
for i = 2, #KEYS do
  local at = (i - 2) * 11 + 2
  local step, burst = tonumber(ARGV[at + 1]) / 1000000, tonumber(ARGV[at + 2])
  local owed, wanted = tonumber(ARGV[at + 3]) / 1000, tonumber(ARGV[at + 4]) / 1000
  local day, limit = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local spent, known = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  local missing, span = tonumber(ARGV[at + 9]) / 1000, tonumber(ARGV[at + 10])
  local kept = redis.pcall('HMGET', KEYS[i], 't', 'd', 'u', 'g', 'o')
  if kept.err then
    -- Somebody else's value under our name would stop everybody's reports.
    redis.call('DEL', KEYS[i])
    kept = {}
  end
  local full, used, told, ttl = now, number(kept[3], 0), -1, 60000
  local of = number(kept[2], 0)
  local left = wanted
  if of ~= today then
    of, used = today, 0
  end
  if limit > 0 then
    -- A report of another day counts for nobody's today. What was forgotten here is taught again.
    if day == today then
      used = math.max(0, math.max(used, known) + spent)
      told = used
    end
    left = math.max(0, (limit - used) / 1000)
    ttl = 172800000
  end
  -- Who told last, and when somebody else did before: a caller who is at one gateway for ten seconds has all of his
  -- bucket there.
  local who, other = kept[4] or me, number(kept[5], now)
  if who ~= me and (spent > 0 or owed > 0) then
    who, other = me, now
  end
  local sole = who == me and now - other > 10000000
  local granted = 0
  if step > 0 then
    -- What was taken since then is charged from then on, or a bucket that is nearly full would be charged for what has
    -- come in meanwhile. But it has what the gateway's own has at most: so nobody gains by it. What was forgotten here
    -- is taught again.
    local before = number(kept[1], 0)
    full = math.max(before, now - span) + owed * step
    if span > 1000000 then
      -- Told after an outage, of which others may have told already: its part of what came in meanwhile is none's loss.
      local beyond = math.max(0, owed * step - span * 2 / cut)
      full = math.min(full, math.max(before, now) + beyond)
    end
    if not kept[1] then
      missing = math.max(missing, tonumber(ARGV[at + 11]) / 1000)
    end
    full = math.max(full, now + missing * step)
    full = math.min(full, now + 2 * burst * step)
    local room = burst - math.max(0, full - now) / step
    local most = math.min(wanted, room / (sole and 2 or cut))
    if limit > 0 then
      most = math.min(most, left)
    end
    granted = math.max(0, math.floor(most * 1000) / 1000)
    if granted > 0 then
      full = math.max(full, now) + granted * step
    end
    left = room - granted
    ttl = math.max(ttl, math.ceil((full - now) / 1000) + 60000)
  end
  redis.call('HSET', KEYS[i], 't', string.format('%.3f', full), 'd', of, 'u', used,
    'g', who, 'o', string.format('%.0f', other))
  redis.call('PEXPIRE', KEYS[i], ttl)
  -- What is left is never told as less than it is: gateways refuse by it.
  for _, value in ipairs({math.floor(granted * 1000 + 0.5), math.ceil(left * 1000), sole and 1 or 0, told}) do
    out[#out + 1] = value
    said[#said + 1] = string.format('%.0f', value)
  end
end
redis.call('SET', KEYS[1], table.concat(said, ' '), 'EX', 120)
return out
