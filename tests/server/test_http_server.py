"""A real server over TLS, met by clients without manners. The limits are short, so that nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.api.departures import DEPARTURES
from agent_service.server.guarded_protocol import GuardOptions
from agent_service.server.http_server import HttpServer
from agent_service.server.listener import listen
from agent_service.server.tls import Certificate, TlsOptions
from agent_service.testing import FakeClock
from tests.faults.certificates import VALID, Authority, Leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from agent_service.api.departures import Departures

LIMIT_SECONDS = 0.25
QUICK = GuardOptions(
    head_timeout_seconds=LIMIT_SECONDS,
    body_timeout_seconds=LIMIT_SECONDS,
    unread_timeout_seconds=LIMIT_SECONDS,
    max_url_bytes=100,
)
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
FLOOD = b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n"
FLOOD_BYTES, PIECE_BYTES = 30_000_000, 100_000


class App:
    """Answers with the scheme; ``/wait`` until its client leaves, ``/flood`` with much, piece by piece."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left_alone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.entered.set()
        body = b"a" * FLOOD_BYTES if scope["path"] == "/flood" else scope["scheme"].encode()
        if scope["path"] == "/wait":
            departures: Departures = scope[DEPARTURES]
            departures.watch(self.left_alone.set)
            await self.left_alone.wait()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(body), PIECE_BYTES):
            piece, more = body[at : at + PIECE_BYTES], at + PIECE_BYTES < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


class Server:
    """A server on a free port, and ways to it."""

    def __init__(self, app: App, port: int, trust: ssl.SSLContext, connections: set[Any]) -> None:
        self.app = app
        self.connections = connections
        self._port = port
        self._trust = trust

    async def connect(self, *, secure: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One connection, by TLS or as plain bytes."""
        trust = self._trust if secure else None
        return await asyncio.open_connection("127.0.0.1", self._port, ssl=trust)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Trusted by the clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Leaf:
    """Of the server."""
    return authority.leaf("server", VALID)


@pytest.fixture
async def server(authority: Authority, leaf: Leaf) -> AsyncIterator[Server]:
    """A server whose handshakes, requests and readers have little time."""
    certificate = Certificate.load(TlsOptions(leaf.certificate, leaf.key), clock=FakeClock())
    app = App()
    with listen("127.0.0.1", 0) as listener:
        serving = HttpServer(app, guard=QUICK, tls=certificate.context)
        running = asyncio.ensure_future(serving.serve(sockets=[listener]))
        trust = ssl.create_default_context(cafile=authority.certificate)
        yield Server(app, listener.getsockname()[1], trust, serving.server_state.connections)
        serving.should_exit = serving.force_exit = True
        await running


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end, however the connection ends."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):
            received += piece
    return received


async def test_requests_are_answered_on_one_connection(server: Server) -> None:
    """The application knows that it is asked by HTTPS, by what it protects: nobody can pretend it."""
    reader, writer = await server.connect()
    for _ in range(2):
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(5) == b"https"
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", GET])
async def test_who_does_not_finish_the_handshake_is_cut(
    server: Server, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither silence nor half a greeting nor plain HTTP holds a connection or fills the log."""
    caplog.set_level(logging.WARNING)
    reader, writer = await server.connect(secure=False)
    writer.write(sent)
    started = asyncio.get_running_loop().time()
    await _rest(reader)
    assert asyncio.get_running_loop().time() - started < 8 * LIMIT_SECONDS
    writer.close()
    assert caplog.messages == []


async def test_who_says_nothing_after_the_handshake_is_cut(server: Server) -> None:
    """The limits of a plain connection hold behind TLS."""
    reader, writer = await server.connect()
    assert await _rest(reader) == b""
    writer.close()


async def test_a_refusal_reaches_a_client_that_goes_on_sending(server: Server) -> None:
    """The answer is read before the connection ends, though TLS cannot close one direction."""
    reader, writer = await server.connect()
    writer.write(b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: test\r\n\r\n")
    writer.write(b"more" * 10_000)
    answer = await _rest(reader)
    assert answer.startswith(b"HTTP/1.1 414")
    assert answer.count(b"HTTP/1.1") == 1
    writer.close()


async def test_a_client_that_leaves_is_noticed(server: Server) -> None:
    """A run is stopped when its caller hangs up, also without the farewell of TLS."""
    _, writer = await server.connect()
    writer.write(b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")
    await server.app.entered.wait()
    writer.transport.abort()
    await asyncio.wait_for(server.app.left_alone.wait(), timeout=1.0)


async def test_a_client_that_reads_nothing_is_cut(server: Server) -> None:
    """What waits for it is dropped, and its connection."""
    reader, writer = await server.connect()
    writer.write(FLOOD)
    await server.app.entered.wait()
    while server.connections:  # noqa: ASYNC110 - uvicorn's own set, which tells nobody
        await asyncio.sleep(LIMIT_SECONDS / 10)
    assert len(await _rest(reader)) < FLOOD_BYTES
    writer.close()


async def test_a_client_that_reads_slowly_gets_everything(server: Server) -> None:
    """Whoever takes something now and then is not cut."""
    reader, writer = await server.connect()
    writer.write(FLOOD)
    head = await reader.readuntil(b"\r\n\r\n")
    received = 0
    while received < FLOOD_BYTES:
        received += len(await reader.readexactly(min(3_000_000, FLOOD_BYTES - received)))
        await asyncio.sleep(LIMIT_SECONDS / 5)
    assert head.startswith(b"HTTP/1.1 200")
    writer.close()
