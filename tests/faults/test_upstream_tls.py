"""An upstream whose certificate has expired (row U12)."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.faults.certificates import EXPIRED, VALID, Authority
from tests.faults.row import HEALTHY, INJECTIONS, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.certificates import Leaf
    from tests.processes import Service, Simulator

THRESHOLD = 5
AT_ONCE = 4

SETTINGS = {
    "AGENT_MAX_RETRIES": "0",
    "CIRCUIT_BREAKER_THRESHOLD": str(THRESHOLD),
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "0.5",
}


class TlsFront:
    """Speaks TLS before a server that does not; the certificate can be changed while it runs."""

    def __init__(self, behind: str, leaf: Leaf) -> None:
        self.port = 0
        self._behind = urlsplit(behind)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loop = asyncio.new_event_loop()
        self.shows(leaf)

    def shows(self, leaf: Leaf) -> None:
        """Connections made from now on are shown this certificate."""
        self._context.load_cert_chain(leaf.certificate, leaf.key)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread."""
        start = asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._context)
        server = self._loop.run_until_complete(start)
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(timeout=10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(timeout=10)
            self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
        finally:
            for end in (writer, there[1]):
                end.transport.abort()  # a goodbye in TLS would outlast the loop
                with suppress(OSError):
                    await end.wait_closed()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def test_an_expired_certificate_is_the_upstreams_failure(
    serve: Callable[..., Service], tmp_path: Path, upstream: Simulator
) -> None:
    """No request and no key goes out to it; the breaker opens, and closes once the certificate is renewed."""
    authority = Authority(tmp_path)
    expired, renewed = authority.leaf("expired", EXPIRED), authority.leaf("renewed", VALID)
    front = TlsFront(upstream.base_url, expired)
    with front.running():
        settings = upstream.settings(**SETTINGS, SSL_CERT_FILE=str(authority.certificate))
        settings["AGENT_API_BASE"] = f"https://127.0.0.1:{front.port}/v1"
        row = Row(serve(**settings), upstream)

        told = row.ask_all([HEALTHY] * 2 * INJECTIONS, at_once=AT_ONCE)

        assert {one.error for one in told} == {(502, "upstream_error"), (503, "circuit_breaker_open")}
        assert all(one.seconds < 1.0 for one in told)
        assert row.calls() == []
        assert THRESHOLD <= row.lm_calls("error") <= THRESHOLD + 2 * AT_ONCE
        assert row.breaker() != 0
        front.shows(renewed)
        row.comes_to_rest()
        assert row.calls() != []
