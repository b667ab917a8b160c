"""What a Redis does in one step for `shared`: admission, and the account of one client.

Amounts are whole 1e-12 USD. The keys of a client are five: his `leases`, a sorted set by the time in ms at
which each runs out; his `holds`, what each may cost and the month that it counts for; what ran out or was
given back unknown (`lapsed`, and when: `lapses`), so that what comes late is still right; and what was
`spent` in each month. The clock is the Redis' own.
"""

from __future__ import annotations

_LAPSED_FOR = 24 * 3600  # seconds that an answer may come late
_SPENT_FOR = 40 * 24 * 3600  # seconds: a month and some

_BEGIN = f"""
local leases, holds, lapsed, lapses, spent = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The month of a moment, by Howard Hinnant's days_from_civil turned round: there is no calendar in here.
local function month(ms)
    local days = math.floor(ms / 86400000) + 719468
    local era = math.floor(days / 146097)
    local doe = days - era * 146097
    local leaps = math.floor(doe / 1460) - math.floor(doe / 36524) + math.floor(doe / 146096)
    local yoe = math.floor((doe - leaps) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local march = math.floor((5 * doy + 2) / 153)
    local year = yoe + era * 400
    if march < 10 then return string.format('%d-%02d', year, march + 3) end
    return string.format('%d-%02d', year + 1, march - 9)
end

local function charge(amount, at)
    if amount ~= '0' and amount ~= '-0' then
        redis.call('HINCRBY', spent, at, amount)
        redis.call('EXPIRE', spent, {_SPENT_FOR})
    end
end

local function lapse(lease, hold)
    redis.call('HSET', lapsed, lease, hold)
    redis.call('ZADD', lapses, now, lease)
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', lapses, '-inf', now - {_LAPSED_FOR * 1000})) do
        redis.call('ZREM', lapses, old)
        redis.call('HDEL', lapsed, old)
    end
    redis.call('EXPIRE', lapsed, {_LAPSED_FOR})
    redis.call('EXPIRE', lapses, {_LAPSED_FOR})
end

-- A hold is its amount and the month that its call began in, whenever that ends.
local function parts(hold) return string.match(hold, '^(%d+) (.+)$') end

local function held()
    local total = 0
    for _, hold in ipairs(redis.call('HVALS', holds)) do
        local amount, at = parts(hold)
        if at == month(now) then total = total + amount end
    end
    return total
end

-- What a worker that died was doing may have cost all that was held for it.
local over = redis.call('ZRANGEBYSCORE', leases, '-inf', now)
for i = 1, #over do
    local hold = redis.call('HGET', holds, over[i]) or '0 ' .. month(now)
    redis.call('ZREM', leases, over[i])
    redis.call('HDEL', holds, over[i])
    lapse(over[i], hold)
    charge(parts(hold))
end
"""

#: lease, hold, budget (empty for none), concurrent, ms that the lease lasts → `in`, `many`, `dear`, `held`
#: (by others) or `gone`.
ENTER = (
    _BEGIN
    + f"""
local lease, hold, budget = ARGV[1], ARGV[2], ARGV[3]
if redis.call('ZSCORE', leases, lease) then return 'in' end
if redis.call('HEXISTS', lapsed, lease) == 1 then return 'gone' end
if budget ~= '' then
    local used = redis.call('HGET', spent, month(now)) or '0'
    local left = budget - used - held()
    if left <= 0 or tonumber(hold) > left then
        return budget - used > 0 and tonumber(hold) <= budget - used and 'held' or 'dear'
    end
end
if redis.call('ZCARD', leases) >= tonumber(ARGV[4]) then return 'many' end
redis.call('ZADD', leases, now + ARGV[5], lease)
redis.call('HSET', holds, lease, hold .. ' ' .. month(now))
redis.call('EXPIRE', leases, {_SPENT_FOR})
redis.call('EXPIRE', holds, {_SPENT_FOR})
return 'in'
"""
)

#: lease, charge. One that is not there may still be on its way: it must not come in any more.
LEAVE = (
    _BEGIN
    + """
local lease = ARGV[1]
local hold = redis.call('HGET', holds, lease) or '0 ' .. month(now)
if redis.call('ZREM', leases, lease) == 1 then
    local _, at = parts(hold)
    redis.call('HDEL', holds, lease)
    charge(ARGV[2], at)
    return
end
local late = redis.call('HGET', lapsed, lease)
if late and late ~= '' then
    local amount, at = parts(late)
    charge('-' .. amount, at)
    charge(ARGV[2], at)
end
lapse(lease, '')
"""
)

#: → what was spent this month, what of it is held, and how many calls are under way.
ACCOUNT = (
    _BEGIN
    + """
local used = redis.call('HGET', spent, month(now)) or '0'
return {used, string.format('%.0f', held()), redis.call('ZCARD', leases)}
"""
)

#: ms that they last, leases.
RENEW = (
    _BEGIN
    + """
for i = 2, #ARGV do redis.call('ZADD', leases, 'XX', now + ARGV[1], ARGV[i]) end
"""
)
