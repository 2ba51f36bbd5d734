"""What runs inside Redis. Each script is one atomic step and may be sent again after a lost reply.

A conversation is a list of whole turns (``t``), a hash with its head (``m``), a hash of the turn ids that are
remembered (``s``) and its turn lease (``l``), all in one hash slot. Expiry by the caller's wall clock decides
what is shown; every key also has a time to live, so that Redis itself removes what nobody asks for any more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """Lua, and the name by which Redis caches it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)


COMMIT = Script("""
-- KEYS: turns, head, seen, lease [, sessions]
-- ARGV: now, expires at, ttl ms, max turns, max bytes, turn id, base seq, turn, answered at, session, token
if redis.call('GET', KEYS[4]) == ARGV[11] then redis.call('DEL', KEYS[4]) end
local ttl, max_turns = tonumber(ARGV[3]), tonumber(ARGV[4])
local head = redis.call('HMGET', KEYS[2], 'last', 'bytes', 'expires')
local last, bytes = tonumber(head[1]) or 0, tonumber(head[2]) or 0
local place = redis.call('HGET', KEYS[3], 'i' .. ARGV[6])
local kept = redis.call('LLEN', KEYS[1])
if head[3] and tonumber(head[3]) <= tonumber(ARGV[1]) then
    redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
    last, bytes, kept, place = 0, 0, 0, false
end
if place then
    local seq, base = string.match(place, '^(%d+) (.*)$')
    seq = tonumber(seq)
    redis.call('HSET', KEYS[2], 'last', last) -- gives WAIT something to wait for
    local index = seq - (last - kept + 1)
    local shown = index >= 0 and seq > last - max_turns
    return {seq, base, shown and redis.call('LINDEX', KEYS[1], index)}
end
last = last + 1
local turn = '{"seq":' .. last .. ',' .. string.sub(ARGV[8], 2)
bytes, kept = bytes + #turn, kept + 1
redis.call('RPUSH', KEYS[1], turn)
redis.call('HSET', KEYS[3], 'i' .. ARGV[6], last .. ' ' .. ARGV[7], 'n' .. last, ARGV[6])
while kept > max_turns or (kept > 1 and bytes > tonumber(ARGV[5])) do
    bytes, kept = bytes - #redis.call('LPOP', KEYS[1]), kept - 1
end
local old = last - 2 * max_turns
local forgotten = redis.call('HGET', KEYS[3], 'n' .. old)
while forgotten do
    redis.call('HDEL', KEYS[3], 'n' .. old, 'i' .. forgotten)
    old = old - 1
    forgotten = redis.call('HGET', KEYS[3], 'n' .. old)
end
redis.call('HSET', KEYS[2], 'last', last, 'bytes', bytes, 'expires', ARGV[2], 'at', ARGV[9])
for key = 1, 3 do redis.call('PEXPIRE', KEYS[key], ttl) end
if KEYS[5] then
    redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', ARGV[1])
    redis.call('ZADD', KEYS[5], ARGV[2], ARGV[10])
    if redis.call('PTTL', KEYS[5]) < ttl then redis.call('PEXPIRE', KEYS[5], ttl) end
end
return {last, ARGV[7], false}
""")

LIST_SESSION = Script("""
-- KEYS: sessions. ARGV: now, expires at, ttl ms, session id. For clusters, where COMMIT cannot do it.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
""")

_WINDOW = """
local head = redis.call('HMGET', KEYS[2], 'last', 'expires', 'at')
if not head[1] or tonumber(head[2]) <= tonumber(ARGV[1]) then return {1, 0, '0', {}} end
local last = tonumber(head[1])
local first_held = last - redis.call('LLEN', KEYS[1]) + 1
local first = math.max(first_held, last - tonumber(ARGV[2]) + 1)
local stop = math.min(last + 1, tonumber(ARGV[4]) or last + 1)
local start = math.max(first, stop - tonumber(ARGV[3]))
if start >= stop then return {first, last, head[3], {}} end
return {first, last, head[3], redis.call('LRANGE', KEYS[1], start - first_held, stop - 1 - first_held)}
"""

WINDOW = Script(
    """
-- KEYS: turns, head. ARGV: now, max turns, limit, before seq or ''
"""
    + _WINDOW
)

TAKE_TURN = Script(
    """
-- KEYS: turns, head, lease. ARGV: now, max turns, limit, '', token, ttl ms. The window, or nothing.
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[5] then return false end
redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[6])
"""
    + _WINDOW
)

ERASE = Script("""
-- KEYS: turns, head, seen, lease [, sessions]. ARGV: now, max turns, session id
local expires = redis.call('HGET', KEYS[2], 'expires')
local gone = 0
if expires and tonumber(expires) > tonumber(ARGV[1]) then
    gone = math.min(redis.call('LLEN', KEYS[1]), tonumber(ARGV[2]))
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if KEYS[5] then redis.call('ZREM', KEYS[5], ARGV[3]) end
return gone
""")

UNLIST = Script("""
-- KEYS: sessions. ARGV: session ids. For clusters, where ERASE cannot do it.
return redis.call('ZREM', KEYS[1], unpack(ARGV))
""")

KEEP_TURN = Script("""
-- KEYS: lease. ARGV: token, ttl ms
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

GIVE_TURN = Script("""
-- KEYS: lease. ARGV: token
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
""")

CLAIM = Script("""
-- KEYS: record, its holder, records of the principal
-- ARGV: fingerprint, turn id, ttl ms, running ttl ms, name of the record
local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'turn', 'done', 'response')
if found[3] then return {'done', found[1], found[2], found[4]} end
local holder = redis.call('GET', KEYS[2])
if found[1] and (found[1] ~= ARGV[1] or (holder and holder ~= ARGV[2])) then
    return {'running', found[1], found[2], false}
end
local turn = found[2] or ARGV[2]
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'turn', turn)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], now + ARGV[3], ARGV[5])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
return {'new', ARGV[1], turn, false}
""")

FINISH = Script("""
-- KEYS: record, its holder, records of the principal. ARGV: turn id, ttl ms, name of the record [, response]
local found = redis.call('HMGET', KEYS[1], 'turn', 'done')
if found[1] ~= ARGV[1] then return 0 end
if not found[2] then
    redis.call('HSET', KEYS[1], 'done', 1)
    if ARGV[4] then redis.call('HSET', KEYS[1], 'response', ARGV[4]) end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    redis.call('DEL', KEYS[2])
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[3], time[1] * 1000 + ARGV[2], ARGV[3])
    if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[3], ARGV[2]) end
end
return redis.call('HEXISTS', KEYS[1], 'response')
""")

ABANDON = Script("""
-- KEYS: record, its holder, records of the principal. ARGV: turn id, name of the record
local found = redis.call('HMGET', KEYS[1], 'turn', 'done')
if found[1] == ARGV[1] and not found[2] then
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('ZREM', KEYS[3], ARGV[2])
end
return 1
""")

ERASE_RECORD = Script("""
-- KEYS: record, its holder, records of the principal. ARGV: name of the record
redis.call('DEL', KEYS[1], KEYS[2])
return redis.call('ZREM', KEYS[3], ARGV[1])
""")

NAMES = Script("""
-- KEYS: a set of names by expiry. ARGV: names whose time is up at this score are left out
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')
""")
