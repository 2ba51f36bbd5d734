"""Opens connections: names to addresses, addresses to sockets, TLS on top."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, cast

from aiohappyeyeballs import start_connection
from dspy._vendor.lm15.transports import ConnectError, ConnectTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohappyeyeballs import AddrInfoType

    from agent_service.programs.lm.http.connection import Connection

_NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305, "Happy Eyeballs"


class Origin(NamedTuple):
    """Where connections lead that can stand in for each other."""

    is_tls: bool
    host: str
    port: int


class Connector:
    """Connects to providers; private authorities come from ``SSL_CERT_FILE``, read at the first need.

    Args:
        limit_seconds: longest wait for one, handshake included.
    """

    def __init__(self, *, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"<Connector within {self._limit_seconds:g} s>"

    async def connect(self, origin: Origin, make: Callable[[], Connection]) -> Connection:
        """A new connection, which ``make`` is the protocol of. Cancelled, it leaves none behind.

        Raises:
            ConnectError: when there is none to be had, or not in time.
        """
        opening = asyncio.ensure_future(self._open(origin, make))
        try:
            done, _ = await asyncio.wait([opening], timeout=self._limit_seconds)
        except asyncio.CancelledError:
            _abandon(opening)
            raise
        if not done:
            _abandon(opening)
            raise ConnectTimeout(f"no connection to {origin.host} within {self._limit_seconds:g} s")
        try:
            return opening.result()
        except (OSError, ValueError) as error:
            raise ConnectError(f"no connection to {origin.host}: {type(error).__name__}: {error}") from error

    async def _open(self, origin: Origin, make: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        if origin.is_tls and self._tls is None:
            self._tls = await asyncio.to_thread(_tls_context)
        found = await loop.getaddrinfo(
            origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        connected = await start_connection(
            cast("list[AddrInfoType]", found),
            happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
            interleave=1,
            loop=loop,
        )
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        context, host = (self._tls, origin.host) if origin.is_tls else (None, None)
        try:
            _, connection = await loop.create_connection(
                make, sock=connected, ssl=context, server_hostname=host
            )
        except BaseException:
            connected.close()
            raise
        return connection


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


def _abandon(opening: asyncio.Future[Connection]) -> None:
    """Nobody waits for it; what it opened, or opens yet, is closed."""
    opening.cancel()
    opening.add_done_callback(_let_go)


def _let_go(opening: asyncio.Future[Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().abort()
