"""Streams in the Redis of the conversations. Their times are those of Redis, not of the hosts.

A stream is a list: its run_id, then its events by id. All streams of a user are in one hash slot, and their
names, by expiry, in one sorted set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.stream_events import StreamEvent
from agent_service.memory import redis_keys as keys
from agent_service.memory.event_log.base import Stretch
from agent_service.memory.redis_connection import RedisConnection
from agent_service.memory.redis_scripts import NAMES, Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.clock import Clock
    from agent_service.memory.event_log.base import EventLogOptions, StreamPart
    from agent_service.memory.redis_connection import RedisOptions

_PER_EXCHANGE = 100
_NO_LIMIT = 2**53
"""The largest whole number that Lua holds exactly."""

APPEND = Script("""
-- KEYS: stream, names of the user's streams. ARGV: run_id, ttl ms, name of the stream, first id, event ...
local first = tonumber(ARGV[4])
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then
    if first ~= 1 then return 0 end
    redis.call('DEL', KEYS[1])
    redis.call('RPUSH', KEYS[1], ARGV[1])
end
local following = redis.call('LLEN', KEYS[1])
if first <= following then
    for index = 5 + following - first, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[index]) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return 1
""")

READ = Script("""
-- KEYS: stream. ARGV: after, limit
local last = redis.call('LRANGE', KEYS[1], -1, -1)
if #last == 0 then return false end
return {last[1], redis.call('LRANGE', KEYS[1], ARGV[1] + 1, ARGV[1] + ARGV[2])}
""")

DROP = Script("""
-- KEYS: stream, names of the user's streams. ARGV: name of the stream
redis.call('DEL', KEYS[1])
return redis.call('ZREM', KEYS[2], ARGV[1])
""")


class RedisEventLog:
    """Keeps the contract of ``memory.event_log.base``.

    Args:
        options: a stream's life.
        redis_options: which Redis, and how patiently.
        clock: limits and paces the attempts.
    """

    def __init__(self, options: EventLogOptions, redis_options: RedisOptions, *, clock: Clock) -> None:
        self._ttl_ms = keys.milliseconds(options.ttl_seconds)
        self._connection = RedisConnection(redis_options, clock=clock)

    def __repr__(self) -> str:
        return f"<RedisEventLog {self._connection!r}>"

    async def start(self) -> None:
        """Make ready to connect; a Redis that cannot be reached yet is found later."""
        self._connection.open()

    async def close(self) -> None:
        """See ``EventLog``."""
        await self._connection.close()

    async def append(self, parts: Sequence[StreamPart]) -> None:
        """See ``EventLog``."""
        calls = [self._call(part) for part in parts]
        for start in range(0, len(calls), _PER_EXCHANGE):
            await self._connection.run_each(APPEND, calls[start : start + _PER_EXCHANGE])

    async def read(self, user_id: str, request_id: str, *, after: int, limit: int) -> Stretch | None:
        """See ``EventLog``."""
        stream = keys.stream_keys(user_id, request_id)[:1]
        found = await self._connection.run(READ, stream, min(after, _NO_LIMIT), limit)
        if found is None:
            return None
        last, stored = found
        events = tuple(_decoded(after + number, each) for number, each in enumerate(stored, start=1))
        return Stretch(events, _decoded(0, last).is_last)

    async def erase(self, user_id: str, session_id: str | None = None) -> None:
        """See ``EventLog``."""
        names = await self._connection.run(NAMES, [keys.streams_key(user_id)], "-1")
        texts = [name.decode() for name in names]
        erased = [name for name in texts if session_id is None or keys.is_stream_of(name, session_id)]
        for start in range(0, len(erased), _PER_EXCHANGE):
            asked = erased[start : start + _PER_EXCHANGE]
            calls = [(keys.named_stream_keys(user_id, name), (name,)) for name in asked]
            await self._connection.run_each(DROP, calls)

    def _call(self, part: StreamPart) -> tuple[tuple[str, str], tuple[bytes | str | float, ...]]:
        name = keys.stream_name(part.conversation.session_id, part.request_id)
        about = (keys.to_bytes(part.run_id), self._ttl_ms, name, part.events[0].id)
        stream = keys.stream_keys(part.conversation.user_id, part.request_id)
        return stream, (*about, *map(_encoded, part.events))


def _encoded(event: StreamEvent) -> bytes:
    return keys.to_bytes(f"{event.kind}\n{event.data}")


def _decoded(number: int, stored: bytes) -> StreamEvent:
    kind, _, data = keys.to_text(stored).partition("\n")
    return StreamEvent(number, kind, data)
