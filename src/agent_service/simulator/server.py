"""Serving the simulator: inside a test, or as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from agent_service.simulator.app import create_simulator
from agent_service.simulator.behaviour import Behaviour, Fault
from agent_service.simulator.exchange import ConnectionProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from starlette.types import ASGIApp

__all__ = ["Behaviour", "Fault", "create_simulator", "run_simulator", "serve"]

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 3600


class _Server(uvicorn.Server):
    """A server that leaves signals to its owner and does not wait for answers that hang."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, ConnectionProtocol):
                connection.transport.abort()
        await super().shutdown(sockets)


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, reuse_port: bool = False
) -> AsyncIterator[str]:
    """Serve ``app`` on the running loop; gives the base URL, ``http://host:port/v1``.

    Port 0 takes a free one; processes that all say ``reuse_port`` share one. Leaving the context breaks off
    what is still being answered.

    Raises:
        OSError: when the address cannot be listened on.
    """
    listener = socket.create_server((host, port), backlog=_BACKLOG, reuse_port=reuse_port)
    # asyncio sets this itself only on sockets made with the protocol named; accepted ones inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        http=ConnectionProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await server.listening.wait()
        yield f"http://{host}:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        await serving


def run_simulator(
    *,
    host: str = "127.0.0.1",
    port: int = 4000,
    latency_seconds: float = 0.0,
    faults: Sequence[Fault] = (),
) -> None:
    """Serve until SIGINT or SIGTERM, then return. The first line on stdout names the address.

    Raises:
        ValueError: for a behaviour that is not allowed.
        OSError: when the address cannot be listened on.
    """
    behaviour = Behaviour(latency_seconds=latency_seconds, faults=tuple(faults))
    uvloop.run(_run(create_simulator(behaviour=behaviour), host, port))


async def _run(app: ASGIApp, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve(app, host=host, port=port) as base_url:
        sys.stdout.write(f"simulator listening on {base_url}\n")
        sys.stdout.flush()
        await stopped.wait()
