"""Counters of every kind behind one factory, and their time, which the test moves."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, cast

import pytest

from agent_service.access.limits.local import LocalCounters
from agent_service.access.limits.local_database import FileDatabase, MemoryDatabase
from agent_service.access.limits.rate import TICKS, Rate
from agent_service.access.limits.redis import RedisCounters
from agent_service.core.clock import SystemClock
from agent_service.testing import FakeClock
from tests.redis_servers import RedisClusterServers, RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from agent_service.access.limits.base import Counters

    Servers = RedisServer | RedisClusterServers
    NewCounters = Callable[[], Awaitable[Counters]]


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test moves; midnight in UTC."""
    return FakeClock(wall=19_000 * 86_400.0)


@pytest.fixture(scope="session")
def limits_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that do it no harm."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def limits_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    """The same of a cluster."""
    servers = RedisClusterServers(tmp_path_factory.mktemp("cluster"))
    yield servers
    servers.kill()


@pytest.fixture(params=["memory", "file", "redis", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    """What counts."""
    return str(request.param)


@pytest.fixture
def servers(kind: str, request: pytest.FixtureRequest) -> Iterator[Servers | None]:
    """The servers of the counters under test, empty; a key that would stay for ever fails the test."""
    if kind not in {"redis", "cluster"}:
        yield None
        return
    found = cast("Servers", request.getfixturevalue(f"limits_{kind}"))
    found.clear()
    yield found
    assert found.keys_without_expiry() == []


@pytest.fixture
async def new_counters(
    kind: str, servers: Servers | None, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[NewCounters]:
    """Starts counters of the kind under test: those of one test count the same, but for memory's."""
    started: list[Counters] = []

    async def start() -> Counters:
        counters: Counters
        if servers is not None:
            counters = RedisCounters(servers.url, clock=SystemClock())
        elif kind == "file":
            counters = LocalCounters(FileDatabase(tmp_path / "limits", clock=clock), clock=clock)
        else:
            counters = LocalCounters(MemoryDatabase(), clock=clock)
        started.append(counters)
        await counters.start()
        return counters

    yield start
    await asyncio.gather(*(counters.close() for counters in started))


@pytest.fixture
def pass_time(servers: Servers | None, clock: FakeClock) -> Callable[[float], None]:
    """Moves time on; of a server, which has its own, what was counted is made older."""

    def move(seconds: float) -> None:
        clock.advance(seconds)
        for node in getattr(servers, "nodes", [servers] if servers else []):
            _age(node, seconds)

    return move


def _age(server: RedisServer, seconds: float) -> None:
    with server.client() as client:
        for key in client.scan_iter(match="*:second"):
            ticks = math.floor(seconds * TICKS / Rate(1, "second").seconds)
            counts = {int(tick) - ticks: count for tick, count in client.hgetall(key).items()}
            client.delete(key)
            client.hset(key, mapping=counts)
            client.pexpire(key, 1000)
