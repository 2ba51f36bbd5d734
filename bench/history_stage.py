"""What is on stage: two service processes on one store, and what can be done to them."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from bench.processes import ServerProcess
from bench.redis_server import RedisServer, free_port
from bench.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

PROCESSES = 2

_SETTINGS = {
    "SERVER_HOST": "127.0.0.1",
    "LOG_FORMAT": "json",
    "AGENT_PROGRAM": "bench.history_program:Echo",
    "AGENT_MODEL": "offline",
    "AGENT_REQUEST_TIMEOUT_SECS": "5",
    "CONVERSATION_WAIT_SECS": "1",
    "MEMORY_MAX_TURNS": "10000",
}


class Service:
    """One service that keeps its address over all its lives.

    Attributes:
        life: how often it was started.
        not_stored_seconds: when each answer of this life with ``stored: false`` was read.
    """

    def __init__(self, name: str, *, settings: dict[str, str], folder: Path) -> None:
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}"
        self.life = 0
        self.not_stored_seconds: list[float] = []
        self._name = name
        self._environ = {**_SETTINGS, **settings, "SERVER_PORT": port}
        self._folder = folder
        self._process: ServerProcess | None = None

    def __repr__(self) -> str:
        return f"<Service {self._name} in life {self.life}>"

    async def start(self) -> None:
        """Begin a life; returns when it listens.

        Raises:
            RuntimeError: it does not.
        """
        self.life += 1
        self.not_stored_seconds = []
        self._process = ServerProcess(
            f"{self._name}-{self.life}", "serve", environ=self._environ, folder=self._folder
        )
        await asyncio.to_thread(self._process.url)

    def kill(self) -> None:
        """End its life at once."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal if it lives."""
        if self._process is not None:
            os.kill(self._process.pid, number)


class Store(Protocol):
    """What keeps the conversations of both services.

    Attributes:
        has_replies: whether it sends replies that can be lost.
    """

    has_replies: bool

    async def kill_and_restart(self) -> int:
        """Kill it and what it takes along, and start that again; returns how many processes that were."""

    def signal(self, number: signal.Signals) -> None:
        """Freeze it or let it go on."""

    def lose_replies(self, count: int) -> None:
        """Throw its next replies away, each with its connection."""


class Redis:
    """A Redis behind a proxy."""

    has_replies = True

    def __init__(self, server: RedisServer, proxy: TcpProxy) -> None:
        self._server = server
        self._proxy = proxy

    async def kill_and_restart(self) -> int:
        """See ``Store``."""
        self._server.kill()
        await asyncio.to_thread(self._server.start)
        return 1

    def signal(self, number: signal.Signals) -> None:
        """See ``Store``."""
        self._server.signal(number)

    def lose_replies(self, count: int) -> None:
        """See ``Store``."""
        self._proxy.lose_replies += count


class SqliteFile:
    """A file lives in the processes that have it open: it dies with all, and freezes with one."""

    has_replies = False

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services

    async def kill_and_restart(self) -> int:
        """See ``Store``."""
        for service in self._services:
            service.kill()
        await asyncio.gather(*(service.start() for service in self._services))
        return len(self._services)

    def signal(self, number: signal.Signals) -> None:
        """See ``Store``."""
        self._services[0].signal(number)

    def lose_replies(self, count: int) -> None:
        """See ``Store``. A file sends none."""


@asynccontextmanager
async def stage(
    store: str, *, fsync: str, policy: str, folder: Path
) -> AsyncIterator[tuple[Sequence[Service], Store]]:
    """Services that listen, and their store; all are gone afterwards.

    Args:
        store: ``redis`` or ``sqlite``.
        fsync: when Redis flushes its append-only file: ``always`` or ``everysec``.
        policy: what becomes of two questions at once in one conversation (``CONVERSATION_POLICY``).
        folder: where everything runs and logs.
    """
    async with AsyncExitStack() as stack:
        settings = {"CONVERSATION_POLICY": policy, "MEMORY_PATH": str(folder / "conversations.db")}
        if store == "redis":
            server = await asyncio.to_thread(RedisServer, folder / "redis", f"appendfsync {fsync}")
            stack.callback(server.kill)
            proxy = await stack.enter_async_context(TcpProxy(server.port))
            settings["REDIS_URL"] = f"redis://127.0.0.1:{proxy.port}"
        services = [Service(f"service-{n}", settings=settings, folder=folder) for n in range(PROCESSES)]
        for service in services:
            stack.callback(service.kill)
        await asyncio.gather(*(service.start() for service in services))
        yield services, (Redis(server, proxy) if store == "redis" else SqliteFile(services))
