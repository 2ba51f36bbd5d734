"""Every backend behind one factory; a store that leaves a thread or an eternal key behind fails its test."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, cast

import pytest

from agent_service.memory.base import StoreOptions
from agent_service.memory.in_memory import InMemoryStore
from agent_service.memory.redis import RedisStore
from agent_service.memory.redis_options import RedisOptions
from agent_service.memory.sqlite import SqliteOptions, SqliteStore
from agent_service.testing import FakeClock
from tests.redis_servers import DatedClock, RedisClusterServers, RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from agent_service.memory.base import ConversationStore

BACKENDS = ["memory", "sqlite", "redis", "redis_cluster"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """What a test starts, it ends."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test moves."""
    return FakeClock()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that do it no harm."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    """The same of a cluster."""
    servers = RedisClusterServers(tmp_path_factory.mktemp("cluster"))
    yield servers
    servers.kill()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> Iterator[RedisServer]:
    """The shared server, empty; a key that would stay for ever fails the test."""
    shared_redis.clear()
    yield shared_redis
    assert shared_redis.keys_without_expiry() == []


@pytest.fixture
def redis_cluster(shared_cluster: RedisClusterServers) -> Iterator[RedisClusterServers]:
    """The same of the cluster."""
    shared_cluster.clear()
    yield shared_cluster
    assert shared_cluster.keys_without_expiry() == []


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The backend under test."""
    return str(request.param)


@pytest.fixture
def servers(backend: str, request: pytest.FixtureRequest) -> RedisServer | RedisClusterServers | None:
    """The servers of the backend under test."""
    if not backend.startswith("redis"):
        return None
    name = "redis_server" if backend == "redis" else backend
    return cast("RedisServer | RedisClusterServers", request.getfixturevalue(name))


@pytest.fixture
def new_store(
    backend: str, servers: RedisServer | RedisClusterServers | None, tmp_path: Path, clock: FakeClock
) -> Callable[[StoreOptions], ConversationStore]:
    """Makes a store of the backend under test, with nothing in it, not started."""
    numbers = count()

    def make(options: StoreOptions) -> ConversationStore:
        if servers is not None:
            return RedisStore(
                options, RedisOptions(servers.url, timeout_seconds=10.0), clock=DatedClock(clock)
            )
        if backend == "memory":
            return InMemoryStore(options, clock=clock)
        return SqliteStore(options, SqliteOptions(tmp_path / f"{next(numbers)}.db"), clock=clock)

    return make


@pytest.fixture
def pass_time(
    servers: RedisServer | RedisClusterServers | None, clock: FakeClock
) -> Callable[[float], Awaitable[None]]:
    """Moves all time there is: the hosts', and that of a server which keeps its own."""

    async def move(seconds: float) -> None:
        clock.advance(seconds)
        if servers is not None:
            servers.pass_time(seconds)

    return move


@pytest.fixture
def options() -> StoreOptions:
    """Three turns are kept, for an hour."""
    return StoreOptions(ttl_seconds=3600.0, max_turns=3)


@pytest.fixture
async def store(
    new_store: Callable[[StoreOptions], ConversationStore], options: StoreOptions
) -> AsyncIterator[ConversationStore]:
    """A started store."""
    made = new_store(options)
    await made.start()
    yield made
    await made.close()
