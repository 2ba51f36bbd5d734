"""The HTTP clients that are compared, each set up as a service would. The Rust ones are not in the locks."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from typing import TYPE_CHECKING, Any, Protocol, cast

import aiohttp
import httptools
import httpx
from dspy._vendor.lm15.transports import StdlibAsyncTransport, TransportRequest

from agent_service.programs.lm.http.transport import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Callable

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-1"}


class Candidate(Protocol):
    """One client with its pool."""

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""

    async def aclose(self) -> None:
        """Close the pool."""


class Aiohttp:
    """Without cookies, and with no timer for each read."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        async with self._session.post(url, data=body, headers=HEADERS, allow_redirects=False) as answer:
            return await answer.read()

    async def aclose(self) -> None:
        """Close the pool."""
        await self._session.close()


class Own:
    """The service's own."""

    def __init__(self) -> None:
        self._transport = HttpTransport(max_connections=1024)

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        async with self._transport.stream(
            TransportRequest("POST", url, list(HEADERS.items()), body)
        ) as answer:
            return await answer.read()

    async def aclose(self) -> None:
        """Close the pool."""
        await self._transport.aclose()


class Httpx:
    """What most Python clients of language models use."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(limits=limits, timeout=None)  # noqa: S113 - the caller limits the call

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        return (await self._client.post(url, content=body, headers=HEADERS)).content

    async def aclose(self) -> None:
        """Close the pool."""
        await self._client.aclose()


class Lm15:
    """What DSPy's native client brings along."""

    def __init__(self) -> None:
        self._transport = StdlibAsyncTransport(max_connections=1024)

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        request = TransportRequest("POST", url, list(HEADERS.items()), body)
        async with self._transport.stream(request) as answer:
            return bytes(await answer.read())

    async def aclose(self) -> None:
        """Close the pool."""
        await self._transport.aclose()


class Pyreqwest:
    """Rust's reqwest, by M. Sintonen."""

    def __init__(self) -> None:
        self._client = importlib.import_module("pyreqwest.client").ClientBuilder().build()

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        answer = await self._client.post(url).headers(HEADERS).body_bytes(body).build().send()
        return bytes(await answer.bytes())

    async def aclose(self) -> None:
        """Close the pool."""
        await self._client.close()


class Wreq:
    """Rust's wreq, made to look like browsers."""

    def __init__(self) -> None:
        self._client: Any = importlib.import_module("wreq").Client()

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        answer = await self._client.post(url, headers=HEADERS, body=body)
        return bytes(await answer.bytes())

    async def aclose(self) -> None:
        """It has no such thing."""


class _Exchange(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if not self._done.done():
            self._done.set_result(b"".join(self._pieces))

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self._parser, self._pieces = httptools.HttpResponseParser(self), list[bytes]()
        self._done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._done


class Raw:
    """A protocol of one's own on httptools, without all that makes a client: the bound."""

    def __init__(self) -> None:
        self._idle: list[_Exchange] = []

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the answer."""
        scheme, _, rest = url.partition("://")
        address, _, path = rest.partition("/")
        exchange = self._idle.pop() if self._idle else await self._connected(scheme, address)
        head = f"POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        try:
            answer = await exchange.ask(f"{head}{lines}\r\n".encode() + body)
        except asyncio.CancelledError:
            exchange.transport.abort()
            raise
        self._idle.append(exchange)
        return answer

    async def aclose(self) -> None:
        """Close the pool."""
        for exchange in self._idle:
            exchange.transport.abort()

    async def _connected(self, scheme: str, address: str) -> _Exchange:
        host, _, port = address.partition(":")
        context = ssl.create_default_context() if scheme == "https" else None
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Exchange, host, int(port), ssl=context))[1]


CANDIDATES: dict[str, Callable[[], Candidate]] = {
    "own": Own,
    "aiohttp": Aiohttp,
    "lm15": Lm15,
    "httpx": Httpx,
    "pyreqwest": Pyreqwest,
    "wreq": Wreq,
    "raw httptools": Raw,
}
