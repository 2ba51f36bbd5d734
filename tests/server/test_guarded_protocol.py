"""Against a real uvicorn, by clients without manners. The limits are short, so that nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import uvicorn

from agent_service.api.departures import DEPARTURES
from agent_service.server.guarded_protocol import LINGER_SECONDS, GuardedProtocol, GuardOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Receive, Scope, Send

    from agent_service.api.departures import Departures

LIMIT_SECONDS = 0.25
QUICK = GuardOptions(head_timeout_seconds=LIMIT_SECONDS, body_timeout_seconds=LIMIT_SECONDS)
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n"
POST_HEAD = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


class Echo:
    """Answers with method, path and length of the body; ``/slow`` first waits, ``/unread`` does not read."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.entered = asyncio.Event()
        self.left_alone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.entered.set()
        if scope["path"] == "/slow":
            await self.go_on.wait()
        length, more = 0, scope["path"] != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left_alone.set()
                return
            length, more = length + len(message["body"]), message["more_body"]
        answer = f"{scope['method']} {scope['path']} {length}".encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Client:
    """Bytes out, responses in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send ``data`` as it is."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: status, headers by lower-case name, body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await self._reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await self._reader.read()

    async def refusal(self) -> tuple[int, str]:
        """Status and error code of a problem document after which the connection ends."""
        status, headers, body = await self.answer()
        problem = json.loads(body)
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert headers["x-request-id"] == problem["request_id"]
        assert problem["status"] == status
        assert await self.rest() == b""
        return status, problem["error"]

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(app: Echo | Watching, options: GuardOptions = QUICK) -> AsyncIterator[Client]:
    """A connection to a new server."""
    protocol = GuardedProtocol.with_options(options)
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", port=0, log_level="critical")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    client = Client(
        *await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    )
    try:
        yield client
    finally:
        await client.close()
        app.go_on.set()
        await server.shutdown()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    """A connection that sends nothing ends at its limit; browsers connect ahead and expect no 408."""
    async with connected(Echo()) as client:
        assert await client.rest() == b""


@pytest.mark.parametrize("head", [b"G", b"GET / HTTP/1.1\r\nHost: te", b"GET / HTTP/1.1\r\nHost: test\r\n"])
async def test_a_partial_head_is_cut(head: bytes) -> None:
    """A head must be whole within its limit, else 408."""
    async with connected(Echo()) as client:
        await client.send(head)
        assert await client.refusal() == (408, "invalid_request")


async def test_a_dripped_head_is_cut() -> None:
    """Each further byte does not extend the head's limit."""
    async with connected(Echo()) as client:
        await client.send(GET[:4])

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await client.send(b"x")
                    await asyncio.sleep(LIMIT_SECONDS / 10)

        dripping = asyncio.create_task(drip())
        assert (await client.answer())[0] == 408
        dripping.cancel()


async def test_a_head_dripped_on_a_kept_connection_is_cut() -> None:
    """The limit holds for every request of a connection, not only for the first."""
    async with connected(Echo()) as client:
        await client.send(GET)
        assert (await client.answer())[0] == 200
        await client.send(GET[:9])
        assert await client.refusal() == (408, "invalid_request")


async def test_empty_lines_do_not_keep_a_connection() -> None:
    """Empty lines between requests are allowed (RFC 9112 section 2.2) and do not switch the timers off."""
    async with connected(Echo()) as client:
        await client.send(GET)
        assert (await client.answer())[0] == 200
        await client.send(b"\r\n")
        assert await client.rest() == b""


@pytest.mark.parametrize("start", [POST_HEAD + b"12345", CHUNKED_HEAD + b"5\r\n12345\r\n"])
async def test_a_slow_body_is_cut_and_the_application_told(start: bytes) -> None:
    """A body must be whole within its limit, else 408; the application sees that its client is gone."""
    app = Echo()
    async with connected(app) as client:
        await client.send(start)
        assert (await client.answer())[0] == 408
        await asyncio.wait_for(app.left_alone.wait(), LINGER_SECONDS / 2)


class Watching:
    """Reads its request, then waits until it is told that the client has left."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.told: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and answer nothing."""
        del send
        while (await receive())["more_body"]:
            pass
        departures: Departures = scope[DEPARTURES]
        left = asyncio.Event()
        departures.watch(left.set)
        departures.watch(ignored := lambda: self.told.append("unwatched"))
        departures.unwatch(ignored)
        departures.unwatch(ignored)
        self.entered.set()
        await left.wait()
        again = asyncio.Event()
        departures.watch(again.set)
        await again.wait()
        self.told.append("left")
        self.go_on.set()


@pytest.mark.parametrize("body_bytes", [10, 200_000], ids=["small", "that paused the reading"])
async def test_who_watches_is_told_that_the_client_left(body_bytes: int) -> None:
    """Once, also who comes too late; not who watches no more."""
    app = Watching()
    async with connected(app, GuardOptions()) as client:
        head = POST_HEAD.replace(b"10", str(body_bytes).encode())
        await client.send(head + b"x" * body_bytes)
        await asyncio.wait_for(app.entered.wait(), LINGER_SECONDS)
        await client.close()
        await asyncio.wait_for(app.go_on.wait(), LINGER_SECONDS)

    assert app.told == ["left"]


class Cutting(Echo):
    """Begins an answer and hangs up in the midst of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a" * 10_000_000, "more_body": True})
        departures: Departures = scope[DEPARTURES]
        departures.hang_up()


async def test_a_client_is_cut_off_on_purpose(caplog: pytest.LogCaptureFixture) -> None:
    """At once, although it has not read what waits for it, and without an error in the log."""
    async with connected(Cutting(), GuardOptions()) as client:
        await client.send(GET)
        with contextlib.suppress(ConnectionError):
            assert len(await client.rest()) < 10_000_000
    assert caplog.messages == []


async def test_a_late_body_does_not_spoil_an_answer() -> None:
    """When the application has answered without reading the body there is nothing to add but the end."""
    async with connected(Echo()) as client:
        await client.send(POST_HEAD.replace(b"/", b"/unread", 1))
        assert (await client.answer())[2] == b"POST /unread 0"
        assert await client.rest() == b""


def _headers(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(count)) + b"\r\n"


TOO_MUCH = {
    "one large header": (b"GET / HTTP/1.1\r\nx: " + b"a" * 1_048_576 + b"\r\n\r\n", 431),
    "one large header without an end": (b"GET / HTTP/1.1\r\nx: " + b"a" * 1_048_576, 431),
    "large headers": (b"GET / HTTP/1.1\r\n" + (b"x: " + b"a" * 1000 + b"\r\n") * 40 + b"\r\n", 431),
    "20 000 headers": (_headers(20_000), 431),
    "one header too many": (_headers(101), 431),
    "a large trailer without an end": (CHUNKED_HEAD + b"0\r\nx: " + b"a" * 1_048_576, 431),
    "too many trailers": (CHUNKED_HEAD + b"0\r\n" + b"x: 1\r\n" * 200 + b"\r\n", 431),
    "a long URL": (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: test\r\n\r\n", 414),
}


@pytest.mark.parametrize(("request_bytes", "status"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_a_head_beyond_its_size_is_refused(request_bytes: bytes, status: int) -> None:
    """Heads have a size and a count, and the answer arrives although the client is still sending."""
    async with connected(Echo(), GuardOptions()) as client:
        await client.send(request_bytes)
        assert await client.refusal() == (status, "invalid_request")


async def test_a_head_within_the_limits_is_served() -> None:
    """The limits themselves are allowed."""
    path = b"/" + b"a" * 8191
    async with connected(Echo(), GuardOptions()) as client:
        await client.send(_headers(100))
        assert (await client.answer())[0] == 200
        await client.send(b"GET " + path + b" HTTP/1.1\r\nx: " + b"a" * 32_000 + b"\r\n\r\n")
        assert (await client.answer())[2] == b"GET " + path + b" 0"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\nHost: test\nx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: te\0st\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED_HEAD + b"zz\r\n",
    ],
    ids=["TLS", "bare line feed", "control byte", "two lengths", "bad chunk"],
)
async def test_what_is_not_http_is_refused(request_bytes: bytes) -> None:
    """What proxies may read differently than we do is never guessed at: 400, and the connection ends."""
    async with connected(Echo()) as client:
        await client.send(request_bytes)
        assert await client.refusal() == (400, "invalid_request")


@pytest.mark.parametrize("begun", [b"", GET[:9]], ids=["nothing", "next head"])
async def test_a_slow_answer_is_not_the_clients_fault(begun: bytes) -> None:
    """While the application works no limit runs, and afterwards the client has all of its time again."""
    app = Echo()
    async with connected(app) as client:
        await client.send(SLOW + begun)
        await asyncio.sleep(LIMIT_SECONDS * 1.5)
        app.go_on.set()
        assert (await client.answer())[2] == b"GET /slow 0"
        await asyncio.sleep(LIMIT_SECONDS * 0.75)
        await client.send(GET[len(begun) :])
        assert (await client.answer())[2] == b"GET / 0"


async def test_a_body_that_the_application_holds_back_is_not_late() -> None:
    """While reading is paused because the application does not read, the body's limit does not count."""
    app = Echo()
    size = 4_194_304
    async with connected(app) as client:
        head = b"POST /slow HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size
        sending = asyncio.create_task(client.send(head + b"a" * size))
        await asyncio.sleep(LIMIT_SECONDS * 2)
        app.go_on.set()
        await sending
        assert (await client.answer())[2] == b"POST /slow %d" % size


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent at once are all served, in order, and each has limits of its own."""
    async with connected(Echo()) as client:
        await client.send(GET + POST_HEAD + b"1234567890" + GET)
        answers = [(await client.answer())[2] for _ in range(3)]
        assert answers == [b"GET / 0", b"POST / 10", b"GET / 0"]


async def test_a_refusal_never_overtakes_an_answer() -> None:
    """What is wrong with the next request must not be read as the answer to the one before."""
    app = Echo()
    async with connected(app) as client:
        await client.send(SLOW + b"not HTTP\r\n\r\n")
        await app.entered.wait()
        app.go_on.set()
        assert (await client.answer())[2] == b"GET /slow 0"
        assert await client.rest() == b""


async def test_a_kept_connection_serves_hundreds_of_requests() -> None:
    """The counts of one request do not leak into the next, and neither do timers."""
    async with connected(Echo()) as client:
        for _ in range(500):
            await client.send(POST_HEAD[:-2] + b"x: " + b"a" * 100 + b"\r\n\r\n")
            await client.send(b"1234567890")
            assert (await client.answer())[2] == b"POST / 10"


async def test_an_upgrade_that_is_not_offered_is_ignored() -> None:
    """Clients may offer HTTP/2 or WebSocket with any request (RFC 9110 section 7.8); HTTP/1.1 goes on."""
    async with connected(Echo()) as client:
        for _ in range(2):
            await client.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n")
            assert (await client.answer())[2] == b"GET / 0"


@pytest.mark.parametrize("name", GuardOptions.__dataclass_fields__)
def test_options_are_above_zero(name: str) -> None:
    """A limit of nothing would refuse everybody."""
    make: Callable[..., GuardOptions] = GuardOptions
    with pytest.raises(ValueError, match=name):
        make(**{name: 0})
