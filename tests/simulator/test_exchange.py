from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.simulator.exchange import ClientGoneError, Exchange
from agent_service.simulator.server import serve

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def _connect(base_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(base_url.rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return reader, writer


async def test_a_body_is_read_whole() -> None:
    """A request body that comes in pieces is put together."""
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope=scope, receive=receive, send=send)
        bodies.append(await exchange.read())
        await exchange.respond(200, "text/plain", b"ok")

    async with serve(app) as base_url:
        reader, writer = await _connect(base_url)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n")
        writer.write(b"a" * 100_000)
        await writer.drain()
        writer.write(b"b" * 100_000)
        await reader.readuntil(b"ok")
        writer.close()
    assert bodies == [b"a" * 100_000 + b"b" * 100_000]


async def test_writing_to_nobody_is_an_error() -> None:
    """Once the client has closed the connection, writing says so instead of going nowhere."""
    raised: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope=scope, receive=receive, send=send)
        await exchange.read()
        await exchange.client_gone()
        with pytest.raises(ClientGoneError):
            await exchange.respond(200, "text/plain", b"late")
        raised.set_result(exchange.broken)

    async with serve(app) as base_url:
        _, writer = await _connect(base_url)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await writer.drain()
        writer.close()
        assert await asyncio.wait_for(raised, 5) is False
