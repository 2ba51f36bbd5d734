"""Counters in Redis, which all replicas share. Its clock is the one that counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from agent_service.access.limits.base import (
    DAY_SECONDS,
    PATIENCE_SECONDS,
    Counted,
    CountersUnavailableError,
    Taken,
)
from agent_service.access.limits.rate import TICKS
from agent_service.core.clock import wait_at_most
from agent_service.memory.redis_batch import RedisBatch
from agent_service.memory.redis_client import close_client, make_client
from agent_service.memory.redis_scripts import Script
from agent_service.memory.redis_url import parse_address
from agent_service.runtime.owned_tasks import OwnedTasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.access.limits.rate import Rate
    from agent_service.core.clock import Clock

_MAX_CONNECTIONS = 32
_CONNECTING_SECONDS = 1.0
_PREFIX = "agsv:1:"
"""The same as that of the conversations: what access rules name."""

TAKE = Script(f"""
-- KEYS: a hash of counts by tick for each rate. ARGV: amount and window in seconds of each.
local time = redis.call('TIME')
local now_ms, is_within, ticks, answer = time[1] * 1000 + time[2] / 1000, 1, {{}}, {{}}
for at, key in ipairs(KEYS) do
    local tick_ms = ARGV[2 * at] * 1000 / {TICKS}
    local tick, used = math.floor(now_ms / tick_ms), 0
    local oldest = tick
    local counts = redis.call('HGETALL', key)
    for field = 1, #counts, 2 do
        local counted_in = tonumber(counts[field])
        if counted_in < tick - {TICKS} then
            redis.call('HDEL', key, counts[field])
        else
            used, oldest = used + counts[field + 1], math.min(oldest, counted_in)
        end
    end
    if used >= tonumber(ARGV[2 * at - 1]) then is_within = 0 end
    ticks[at] = string.format('%.0f', tick)
    answer[2 * at - 1], answer[2 * at] = used, math.ceil((oldest + {TICKS + 1}) * tick_ms - now_ms)
end
for at, key in ipairs(KEYS) do
    if is_within == 1 then
        redis.call('HINCRBY', key, ticks[at], 1)
        redis.call('PEXPIRE', key, math.ceil(ARGV[2 * at] * 1000 * {TICKS + 1} / {TICKS}))
    end
end
return {{is_within, unpack(answer)}}
""")

SPEND = Script("""
-- KEYS: a day's sum. ARGV: tokens, seconds to keep it
if ARGV[1] == '0' then return tonumber(redis.call('GET', KEYS[1]) or 0) end
local spent = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return spent
""")


class RedisCounters:
    """Keeps the contract of ``Counters``. Nothing is sent twice: it could be counted twice.

    Args:
        url: see ``memory.redis_url``.
        clock: bounds the waits.
    """

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._address = parse_address(url)
        self._clock = clock
        self._client: Any = None
        self._batch: RedisBatch | None = None
        self._calls = OwnedTasks()
        self._places = asyncio.Semaphore(_MAX_CONNECTIONS)

    def __repr__(self) -> str:
        return f"<RedisCounters {self._address.form}>"

    async def start(self) -> None:
        """See ``Counters``. Connecting takes longer than asking."""
        self._client = make_client(
            self._address, wait_seconds=PATIENCE_SECONDS, max_connections=_MAX_CONNECTIONS
        )
        self._batch = None if self._address.form == "cluster" else RedisBatch(self._client)
        await self._within(_CONNECTING_SECONDS, SPEND, [f"{_PREFIX}{{limits}}"], 0, 1)

    async def close(self) -> None:
        """See ``Counters``."""
        client, self._client = self._client, None
        if client is not None:
            await self._calls.done()
            await close_client(client)

    async def take(self, name: str, rates: tuple[Rate, ...]) -> Taken:
        """See ``Counters``."""
        keys = [f"{_PREFIX}{{{name}}}:{rate.unit}" for rate in rates]
        arguments = [number for rate in rates for number in (rate.amount, rate.seconds)]
        is_within, *found = await self._within(PATIENCE_SECONDS, TAKE, keys, *arguments)
        counts = (
            Counted(used + is_within, wait_milliseconds / 1000)
            for used, wait_milliseconds in zip(found[::2], found[1::2], strict=True)
        )
        return Taken(bool(is_within), tuple(counts))

    async def spend(self, name: str, tokens: int, *, day: int) -> int:
        """See ``Counters``."""
        key = f"{_PREFIX}{{{name}}}:{day}"
        return int(await self._within(PATIENCE_SECONDS, SPEND, [key], tokens, 2 * DAY_SECONDS))

    async def _within(self, seconds: float, script: Script, keys: Sequence[str], *arguments: int) -> Any:
        """What ``script`` returns."""
        if self._client is None:
            raise CountersUnavailableError
        call = self._calls.begin(self._evaluate(script, (len(keys), *keys, *arguments)))
        if not await wait_at_most(self._clock, seconds, call):
            call.cancel()
            raise CountersUnavailableError from TimeoutError()
        try:
            return call.result()
        except (RedisError, RedisClusterException, OSError) as error:
            raise CountersUnavailableError from error

    async def _evaluate(self, script: Script, arguments: tuple[str | int, ...]) -> Any:
        if self._batch is not None:
            return await self._batch.evaluate(script, arguments)
        async with self._places:  # a cluster's client refuses what exceeds its connections
            try:
                return await self._client.execute_command("EVALSHA", script.sha, *arguments)
            except NoScriptError:
                return await self._client.execute_command("EVAL", script.text, *arguments)
