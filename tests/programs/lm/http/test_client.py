"""The client over real sockets: when a request is sent again, and when not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from dspy._vendor.lm15.transports import ReadError, TransportRequest

from agent_service.programs.lm.http.answer import UnansweredError
from agent_service.programs.lm.http.client import HttpClient
from agent_service.programs.lm.http.request_head import RequestHead
from tests.programs.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Script:
    """A server that answers each request on each connection as the script says; then it hangs up."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.connections = list(connections)
        self.requests = self.open = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            for answer in self.connections.pop(0):
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                self.requests += 1
                writer.write(answer)
                await writer.drain()
        self.open -= 1
        writer.transport.abort()


@asynccontextmanager
async def calling(script: Script) -> AsyncIterator[tuple[HttpClient, RequestHead]]:
    """A client with one connection, and the head of a request to the server."""
    server = await asyncio.start_server(script.answer, "127.0.0.1", 0)
    url = "http://{}:{}/".format(*server.sockets[0].getsockname())
    client = HttpClient(max_connections=1, max_body_bytes=100)
    async with server:
        yield client, RequestHead.of(TransportRequest("POST", url))
        await client.aclose()
        await eventually(lambda: script.open == 0)


async def ask(client: HttpClient, head: RequestHead) -> bytes:
    """One call."""
    answer = await client.begin(head, b"{}")
    return await answer.read()


async def test_a_kept_connection_that_was_closed_is_replaced_once() -> None:
    """The provider hung up when the request was under way to it, and read nothing of it."""
    script = Script([WHOLE, b""], [WHOLE, WHOLE])
    async with calling(script) as (client, head):
        for _ in range(3):
            assert await ask(client, head) == b"ok"
    assert script.requests == 4


async def test_a_new_connection_that_closes_is_an_error() -> None:
    """The request was its first: the provider did not want it."""
    script = Script([b""], [WHOLE])
    async with calling(script) as (client, head):
        with pytest.raises(UnansweredError):
            await ask(client, head)
        assert script.requests == 1
        assert client.pool.free == 1


async def test_the_second_time_is_the_last() -> None:
    """A provider that closes every connection gets no endless repetitions."""
    script = Script([WHOLE, b""], [b""], [WHOLE])
    async with calling(script) as (client, head):
        assert await ask(client, head) == b"ok"
        with pytest.raises(UnansweredError):
            await ask(client, head)
        assert script.requests == 3
        assert client.pool.free == 1


async def test_after_a_byte_nothing_is_sent_again() -> None:
    """The provider has begun to answer, so it has done the work."""
    script = Script([WHOLE, b"H"])
    async with calling(script) as (client, head):
        assert await ask(client, head) == b"ok"
        with pytest.raises(ReadError):
            await ask(client, head)
        assert script.requests == 2
        assert client.pool.free == 1


async def test_whoever_stops_waiting_closes_the_connection() -> None:
    """The place is free at once."""
    script = Script([b"HTTP/1.1 103 Early Hints\r\n\r\n", WHOLE])
    async with calling(script) as (client, head):
        call = asyncio.ensure_future(ask(client, head))
        await eventually(lambda: script.requests)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert client.pool.free == 1
        await eventually(lambda: script.open == 0)
