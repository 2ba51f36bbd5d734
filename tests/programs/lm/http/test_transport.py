"""The HTTP client to language models, over real sockets: what is sent, what is read, what is let go of."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import subprocess
import sys
import tracemalloc
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from dspy import lm15
from dspy._vendor.lm15.transports import (
    ProtocolError,
    StdlibAsyncTransport,
    TransportError,
    TransportRequest,
)

from agent_service.programs.lm.http.transport import HttpTransport
from tests.programs.conftest import eventually
from tests.traces import HEADER, FakeTrace, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT_BYTES = 100_000
LONG_WAITS = lm15.Timeouts(connect=60, read=60, write=60, pool=60)
"""Waits of an LM's own are the library's to keep."""
KEY = ("Authorization", "Bearer sk-1")
_PIECE = b"x" * 10_000


class Carrier:
    """Which client carries the requests of a test: the own one, or with waits the library."""

    waits: lm15.Timeouts | None = None


@pytest.fixture(autouse=True, params=[None, LONG_WAITS], ids=["own", "library"])
def carried_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule is a rule of both. The import is slow and large, which some tests would notice."""
    importlib.import_module("agent_service.programs.lm.http.library_client")
    monkeypatch.setattr(Carrier, "waits", request.param)


class Provider:
    """A server that sends the same answer to every request, and keeps what it was asked."""

    def __init__(self, *headers: str, pieces: list[bytes], status: str = "200 OK") -> None:
        self.url = ""
        self.heads: list[str] = []
        self.connections = 0
        self.open = 0
        self.sent = 0
        self.hangs_up = "connection: close" in headers
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.left = asyncio.Event()
        self._head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()
        self._pieces = pieces

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what is asked on one connection; ``go_on`` is awaited before each piece but the first."""
        self.connections += 1
        self.open += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(self._head)
                await self._send_pieces(writer)
                if self.hangs_up:
                    break
        self.left.set()
        self.open -= 1
        writer.close()

    async def _send_pieces(self, writer: asyncio.StreamWriter) -> None:
        for piece in self._pieces:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)
            await self.go_on.wait()

    def send_nothing(self) -> None:
        """Take requests, and leave it at that until ``go_on``."""
        self._head, self._pieces = b"", [b""]

    def asked(self) -> set[str]:
        """The header lines of the last request."""
        return set(self.heads[-1].split("\r\n")[1:])


@asynccontextmanager
async def serving(
    provider: Provider,
    *,
    max_body_bytes: int = LIMIT_BYTES,
    max_connections: int = 1,
    timeouts: lm15.Timeouts | None = None,
) -> AsyncIterator[HttpTransport]:
    """``provider`` on a free port, and a transport to it."""
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.url = "http://{}:{}/".format(*server.sockets[0].getsockname())
    transport = HttpTransport(
        timeouts=timeouts or Carrier.waits, max_connections=max_connections, max_body_bytes=max_body_bytes
    )
    async with server:
        yield transport
        await transport.aclose()
        await eventually(lambda: provider.open == 0)


async def body_of(transport: HttpTransport, url: str) -> bytes:
    """The body of one answer."""
    async with transport.stream(TransportRequest("GET", url)) as response:
        assert response.status == 200
        return await response.read()


def whole(*headers: str) -> Provider:
    """One that answers with two bytes and keeps its connections open."""
    return Provider("content-length: 2", *headers, pieces=[b"ok"])


async def test_a_body_up_to_the_limit_is_read_and_its_connection_used_again() -> None:
    """The limit itself still fits, and what is read whole costs no connection."""
    provider = Provider(f"content-length: {LIMIT_BYTES}", pieces=[_PIECE] * 10)
    async with serving(provider) as transport:
        for _ in range(3):
            assert await body_of(transport, provider.url) == _PIECE * 10
        assert provider.connections == 1


@pytest.mark.parametrize(
    "headers", [("content-length: 1000000000",), ("connection: close",)], ids=["announced", "until closed"]
)
async def test_a_longer_body_is_cut_and_its_connection_closed(headers: tuple[str, ...]) -> None:
    """The provider cannot make us read on, nor keep the only connection."""
    provider = Provider(*headers, pieces=[_PIECE] * 100_000)
    async with serving(provider) as transport:
        for _ in range(3):
            with pytest.raises(ProtocolError, match="longer than 100000 bytes"):
                await body_of(transport, provider.url)
        await asyncio.wait_for(provider.left.wait(), timeout=5)
    assert provider.connections == 3
    assert provider.sent < 300_000_000


async def test_the_error_of_a_longer_body_does_not_keep_what_was_read() -> None:
    """Whoever keeps the error, with its traceback, does not keep the body."""
    limit_bytes = 100 * LIMIT_BYTES
    provider = Provider("connection: close", pieces=[_PIECE] * 1001)
    async with serving(provider, max_body_bytes=limit_bytes) as transport:
        tracemalloc.start()
        with pytest.raises(ProtocolError) as kept:
            await body_of(transport, provider.url)
        kept_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert kept.value.__traceback__ is not None
    assert kept_bytes < limit_bytes / 2


async def test_what_counts_is_the_length_after_decompression() -> None:
    """A small body that unfolds into a long one is cut too, before it has unfolded."""
    bomb = gzip.compress(b"x" * (1000 * LIMIT_BYTES))
    provider = Provider(f"content-length: {len(bomb)}", "content-encoding: gzip", pieces=[bomb])
    async with serving(provider) as transport:
        tracemalloc.start()
        with pytest.raises(ProtocolError, match="longer than"):
            await body_of(transport, provider.url)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 50 * LIMIT_BYTES


@pytest.mark.parametrize("coding", ["gzip", "GZIP"])
async def test_a_compressed_body_is_unfolded(coding: str) -> None:
    """Gateways compress what nobody asked them to compress."""
    body = gzip.compress(b"hello")
    provider = Provider(f"content-length: {len(body)}", f"content-encoding: {coding}", pieces=[body])
    async with serving(provider) as transport:
        assert await body_of(transport, provider.url) == b"hello"


@pytest.mark.parametrize(
    "headers",
    [
        ("content-encoding: gzip, gzip",),
        ("content-encoding: gzip", "content-encoding: gzip"),
        ("content-encoding: x-zip",),
    ],
    ids=["one header", "two headers", "unknown"],
)
async def test_a_body_compressed_twice_or_otherwise_is_refused_unread(headers: tuple[str, ...]) -> None:
    """One piece of it could unfold a million times, before there is a length to count."""
    bomb = gzip.compress(gzip.compress(b"x"))
    provider = Provider(f"content-length: {len(bomb)}", *headers, pieces=[bomb])
    async with serving(provider) as transport:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="more than once"):
                await body_of(transport, provider.url)


async def test_a_reader_who_stops_early_gives_the_connection_back() -> None:
    """Left before the end, the only connection is closed and the next request gets a new one."""
    provider = Provider(f"content-length: {LIMIT_BYTES}", pieces=[_PIECE] * 10)
    provider.go_on.clear()
    async with serving(provider) as transport:
        async with transport.stream(TransportRequest("GET", provider.url)) as response:
            assert response.header("content-length") == str(LIMIT_BYTES)
        provider.go_on.set()
        assert await body_of(transport, provider.url) == _PIECE * 10
    assert provider.connections == 2


async def test_the_trace_goes_with_the_request_and_learns_whom_it_was_sent_to() -> None:
    """Within one; a request outside of any carries nothing."""
    provider, trace = whole(), FakeTrace()
    async with serving(provider) as transport:
        with within(trace):
            await body_of(transport, provider.url)
        await body_of(transport, provider.url)
        port = int(provider.url.rstrip("/").rpartition(":")[2])
    traced, untraced = (head.lower() for head in provider.heads)
    assert ": ".join(HEADER) in traced
    assert HEADER[0] not in untraced
    assert trace.servers == [("127.0.0.1", port)]


async def test_pieces_are_handed_on_as_they_come() -> None:
    """A stream of events is read while the provider still writes it."""
    provider = Provider("connection: close", pieces=[b"data: 1\n\n", b"data: 2\n\n"])
    provider.go_on.clear()
    async with (
        serving(provider) as transport,
        transport.stream(TransportRequest("GET", provider.url)) as response,
    ):
        pieces = response.__aiter__()
        assert await asyncio.wait_for(anext(pieces), 5) == b"data: 1\n\n"
        provider.go_on.set()
        assert await asyncio.wait_for(anext(pieces), 5) == b"data: 2\n\n"
        assert [piece async for piece in pieces] == []
        assert (response.http_version, response.reason) == ("HTTP/1.1", "OK")


async def test_the_native_client_streams_over_it() -> None:
    """Tokens arrive one by one, as its events."""
    tokens = [b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % token for token in (b"fo", b"ur")]
    provider = Provider(
        "content-type: text/event-stream", "connection: close", pieces=[*tokens, b"data: [DONE]\n\n"]
    )
    async with serving(provider) as transport:
        keys, urls = {"openai-chat": "sk-1"}, {"openai-chat": provider.url}
        config = lm15.RouterConfig(api_keys=keys, base_urls=urls, transport=transport)
        client = lm15.AsyncLMRouter(config).lm("openai-chat:m")
        request = lm15.Request(model="m", messages=(lm15.Message.user("2+2"),))
        deltas = [event.delta.text async for event in client.stream(request) if event.type == "delta"]
    assert deltas == ["fo", "ur"]


async def test_the_request_has_the_headers_of_the_native_client_s_own_transport() -> None:
    """A gateway that lets the one through lets the other through."""
    provider = whole()
    async with serving(provider) as transport:
        request = TransportRequest("POST", provider.url, [KEY, ("Content-Type", "application/json")], b"{}")
        async with transport.stream(request) as response:
            await response.read()
        ours, line = provider.asked(), provider.heads[-1].split("\r\n")[0]
        stock = StdlibAsyncTransport()
        async with stock.stream(request) as response:
            await response.read()
        await stock.aclose()
        assert ours == provider.asked()
        assert line == provider.heads[-1].split("\r\n")[0]


async def test_a_redirect_is_not_followed() -> None:
    """A key that is meant for one host is not carried to another."""
    provider = Provider("content-length: 0", "location: /elsewhere", pieces=[], status="307 Moved")
    async with serving(provider) as transport:
        async with transport.stream(TransportRequest("POST", provider.url, [KEY], b"{}")) as response:
            assert response.status == 307
        assert len(provider.heads) == 1


async def test_no_cookie_is_kept() -> None:
    """One caller's answer says nothing to the next caller's request."""
    provider = whole("set-cookie: a=b")
    async with serving(provider) as transport:
        for _ in range(2):
            await body_of(transport, provider.url)
        assert not [line for line in provider.asked() if line.lower().startswith("cookie")]


async def test_what_cannot_be_sent_is_an_error_of_transport_and_shows_no_key() -> None:
    """A key from a file often ends with a line feed."""
    async with serving(whole()) as transport:
        request = TransportRequest("GET", "http://127.0.0.1:9/", [("Authorization", "Bearer sk-2\n")])
        with pytest.raises(TransportError) as refused:
            await transport.begin(request)
    assert "sk-2" not in str(refused.value)


async def test_a_provider_that_is_not_there_is_an_error_of_transport() -> None:
    """Nobody listens, or the connection breaks in the middle."""
    torn = Provider("content-length: 20", "connection: close", pieces=[b"ten bytes."])
    async with serving(torn) as transport:
        with pytest.raises(TransportError):
            await body_of(transport, "http://127.0.0.1:9/")
        with pytest.raises(TransportError):
            await body_of(transport, torn.url)


async def test_a_connection_that_the_provider_closed_while_idle_is_not_used_again() -> None:
    """Servers hang up on idle connections; the next call must not meet the end of the last one."""
    provider = whole()
    provider.hangs_up = True
    async with serving(provider) as transport:
        for number in (1, 2, 3):
            assert await body_of(transport, provider.url) == b"ok"
            await asyncio.wait_for(provider.left.wait(), 5)
            await asyncio.sleep(0.01)
            assert provider.connections == number


async def test_cancelled_calls_close_their_connections_at_once_and_leave_the_pool_whole() -> None:
    """Three times everybody leaves in mid-answer; nothing stays open, and the next call finds room."""
    provider = Provider("content-length: 20000", pieces=[_PIECE, _PIECE])
    async with serving(provider, max_connections=50) as transport:
        for _ in range(3):
            provider.go_on.clear()
            calls = [asyncio.ensure_future(body_of(transport, provider.url)) for _ in range(150)]
            await eventually(lambda: provider.open == 50)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            provider.go_on.set()
            await eventually(lambda: provider.open == 0)
        assert await body_of(transport, provider.url) == _PIECE * 2


async def test_the_waits_of_an_lm_are_kept() -> None:
    """For the next bytes, and for a free connection."""
    provider = Provider("content-length: 20000", pieces=[_PIECE, _PIECE])
    provider.go_on.clear()
    waits = lm15.Timeouts(connect=0.05, read=0.05, write=1, pool=0.05)
    async with serving(provider, timeouts=waits) as transport:
        async with transport.stream(TransportRequest("GET", provider.url)) as response:
            with pytest.raises(TransportError):
                await body_of(transport, provider.url)
            with pytest.raises(TransportError):
                await response.read()
        provider.go_on.set()


@pytest.mark.parametrize("head_first", [True, False])
async def test_after_the_end_nothing_is_sent(head_first: bool) -> None:
    """Those in use are closed as well, whether they wait for the head or for the body."""
    provider = Provider("content-length: 20000", pieces=[_PIECE, _PIECE])
    if not head_first:
        provider.send_nothing()
    provider.go_on.clear()
    async with serving(provider) as transport:
        call = asyncio.ensure_future(body_of(transport, provider.url))
        await eventually(lambda: provider.heads)
        await asyncio.sleep(0.01)
        await transport.aclose()
        with pytest.raises(TransportError):
            await asyncio.wait_for(call, 5)
        with pytest.raises(TransportError, match="closed"):
            await body_of(transport, provider.url)
        provider.go_on.set()


class Proxy:
    """A proxy that answers everything itself, and keeps what it was asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.address = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, or refuse one tunnel."""
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        refused = self.heads[-1].startswith("CONNECT")
        status = b"403 No" if refused else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy that the environment names, with a password."""
    there = Proxy()
    server = await asyncio.start_server(there.answer, "127.0.0.1", 0)
    there.address = "{}:{}".format(*server.sockets[0].getsockname())
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://user:pass@{there.address}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with server:
        yield there


async def test_the_environment_s_proxy_is_asked(proxy: Proxy) -> None:
    """With the whole address, and the password that the environment gives for it."""
    transport = HttpTransport(max_connections=1)
    assert await body_of(transport, "http://model.test/v1?a=b") == b"ok"
    await transport.aclose()
    assert proxy.heads[0].startswith("GET http://model.test/v1?a=b HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in proxy.heads[0]


async def test_a_tunnel_is_asked_for_without_the_provider_s_key(proxy: Proxy) -> None:
    """TLS runs end to end: the proxy learns the host, and nothing else."""
    transport = HttpTransport(max_connections=1)
    with pytest.raises(TransportError) as refused:
        await transport.begin(TransportRequest("GET", "https://model.test/v1", [KEY]))
    await transport.aclose()
    assert proxy.heads[0].startswith("CONNECT model.test:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in proxy.heads[0]
    assert "sk-1" not in proxy.heads[0]
    assert "pass" not in str(refused.value)


async def test_hosts_that_need_no_proxy_are_asked_directly(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``NO_PROXY`` names them."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    provider = whole()
    async with serving(provider) as transport:
        assert await body_of(transport, provider.url) == b"ok"
    assert proxy.heads == []


def test_the_library_is_imported_for_those_who_need_it_only() -> None:
    """It takes as long as the rest of a small service's start."""
    code = (
        "import sys, agent_service.programs.lm.upstreams, agent_service.bootstrap.program\n"
        "raise SystemExit('aiohttp' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
