"""Uvicorn, set up for this service: its protocol, its limits, its TLS."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from agent_service.server.guarded_protocol import GuardedProtocol
from agent_service.server.listener import BACKLOG

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from agent_service.server.guarded_protocol import GuardOptions

KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s after which common load balancers drop idle connections, so that they drop first."""

TLS_GOODBYE_SECONDS = 2.0
"""How long a client may take to confirm the end of a connection, which it need not."""


class HttpServer(uvicorn.Server):
    """Serves one application on sockets that listen already, over TLS when there is a context for it."""

    def __init__(self, app: ASGIApp, *, guard: GuardOptions, tls: ssl.SSLContext | None = None) -> None:
        self._protocol = GuardedProtocol.with_options(guard)
        super().__init__(_config(app, self._protocol))
        self._tls = tls
        self._handshake_seconds = guard.head_timeout_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are heard by ``StopRequests``; uvicorn would raise them again after its end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, which has no limits for a handshake and for the end of a TLS connection."""
        loop = asyncio.get_running_loop()
        connect = partial(
            self._protocol, config=self.config, server_state=self.server_state, app_state={}, _loop=loop
        )
        self.servers = [
            await loop.create_server(connect, sock=listener, backlog=BACKLOG, **self._tls_arguments())
            for listener in sockets or ()
        ]
        self.started = True

    def _tls_arguments(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {
            "ssl": self._tls,
            "ssl_handshake_timeout": self._handshake_seconds,
            "ssl_shutdown_timeout": TLS_GOODBYE_SECONDS,
        }


def _config(app: ASGIApp, protocol: type[GuardedProtocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
