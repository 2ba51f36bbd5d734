from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from agent_service.access.limits.base import CountersUnavailableError
from agent_service.access.limits.rate import parse_rates
from agent_service.access.limits.redis import RedisCounters
from agent_service.core.clock import SystemClock
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

RATES = parse_rates("100/minute")


async def test_a_server_that_hangs_or_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    """Nor are those behind the first; when it is back it counts again, with a new connection."""
    server = RedisServer(tmp_path)
    counters = RedisCounters(server.url, clock=SystemClock())
    try:
        await counters.start()
        server.signal(signal.SIGSTOP)
        began = asyncio.get_running_loop().time()
        failed = await asyncio.gather(
            *(counters.take("a", RATES) for _ in range(300)), return_exceptions=True
        )
        took_seconds = asyncio.get_running_loop().time() - began
        server.signal(signal.SIGCONT)
        assert {type(each) for each in failed} == {CountersUnavailableError}
        assert took_seconds < 3.0  # far from the end of the hanging, also on a busy machine

        server.kill()
        with pytest.raises(CountersUnavailableError):
            await counters.take("a", RATES)
        server.start()
        assert (await counters.take("a", RATES)).is_within
    finally:
        server.kill()
        await counters.close()


async def test_the_server_is_told_what_it_does_not_know_yet(limits_redis: RedisServer) -> None:
    """Also after somebody made it forget its scripts."""
    counters = RedisCounters(limits_redis.url, clock=SystemClock())
    await counters.start()
    await counters.take("a", RATES)
    limits_redis.command("SCRIPT", "FLUSH")
    assert (await counters.take("a", RATES)).is_within
    await counters.close()


async def test_keys_are_those_that_access_rules_name_and_end(limits_redis: RedisServer) -> None:
    """One prefix for all that is ours; each with the time that it counts for."""
    limits_redis.clear()
    counters = RedisCounters(limits_redis.url, clock=SystemClock())
    await counters.start()
    await counters.take("abc", parse_rates("5/second;5/hour"))
    await counters.spend("abc", 5, day=19_000)
    await counters.close()

    lives_ms = {key: limits_redis.command("PTTL", key) for key in limits_redis.command("KEYS", "*")}

    assert set(lives_ms) == {b"agsv:1:{abc}:second", b"agsv:1:{abc}:hour", b"agsv:1:{abc}:19000"}
    assert 900 < lives_ms[b"agsv:1:{abc}:second"] <= 1017
    assert 3_600_000 < lives_ms[b"agsv:1:{abc}:hour"] <= 3_660_000
    assert 172_700_000 < lives_ms[b"agsv:1:{abc}:19000"] <= 172_800_000


async def test_counters_that_find_no_server_say_so(tmp_path: Path) -> None:
    """At the start, and when they are asked; once there is one they count."""
    server = RedisServer(tmp_path)
    server.kill()
    counters = RedisCounters(server.url, clock=SystemClock())
    with pytest.raises(CountersUnavailableError):
        await counters.start()
    server.start()
    assert await counters.spend("a", 3, day=1) == 3
    await counters.close()
    server.kill()
