"""Answers of a provider are read up to a limit, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from dspy import lm15
from dspy._vendor.lm15.transports import ProtocolError, TransportRequest

from agent_service.programs.lm.bounded_transport import BoundedTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT_BYTES = 100_000
_PIECE = b"x" * 10_000


class Provider:
    """A server that sends the same answer to every request, and says how much of it went out."""

    def __init__(self, *headers: str, pieces: list[bytes]) -> None:
        self.url = ""
        self.connections = 0
        self.sent = 0
        self.left = asyncio.Event()
        self._head = "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode()
        self._pieces = pieces

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what is asked on one connection."""
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._head)
                for piece in self._pieces:
                    writer.write(piece)
                    await writer.drain()
                    self.sent += len(piece)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    provider: Provider, *, max_body_bytes: int = LIMIT_BYTES
) -> AsyncIterator[BoundedTransport]:
    """``provider`` on a free port, and a transport to it."""
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.url = "http://{}:{}/".format(*server.sockets[0].getsockname())
    waits = lm15.Timeouts(connect=5, read=5, write=5, pool=5)
    transport = BoundedTransport(timeouts=waits, max_connections=1, max_body_bytes=max_body_bytes)
    async with server:
        yield transport
        await transport.aclose()


async def body_of(transport: BoundedTransport, provider: Provider) -> bytes:
    """The body of one answer."""
    async with transport.stream(TransportRequest("GET", provider.url)) as response:
        assert response.status == 200
        body = await response.read()
        assert isinstance(body, bytes)
        return body


async def test_a_body_up_to_the_limit_is_read_and_its_connection_used_again() -> None:
    """The limit itself still fits, and what is read whole costs no connection."""
    provider = Provider(f"content-length: {LIMIT_BYTES}", pieces=[_PIECE] * 10)
    async with serving(provider) as transport:
        for _ in range(3):
            assert await body_of(transport, provider) == _PIECE * 10
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
                await body_of(transport, provider)
        await asyncio.wait_for(provider.left.wait(), timeout=5)
        assert "'idle': 0, 'in_use': 0" in repr(transport)
    assert provider.connections == 3
    assert provider.sent < 300_000_000


async def test_the_error_of_a_longer_body_does_not_keep_what_was_read() -> None:
    """Whoever keeps the error, with its traceback, does not keep the body."""
    limit_bytes = 100 * LIMIT_BYTES
    provider = Provider("connection: close", pieces=[_PIECE] * 1001)
    async with serving(provider, max_body_bytes=limit_bytes) as transport:
        tracemalloc.start()
        with pytest.raises(ProtocolError) as kept:
            await body_of(transport, provider)
        kept_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert kept.value.__traceback__ is not None
    assert kept_bytes < limit_bytes / 2


async def test_what_counts_is_the_length_after_decompression() -> None:
    """A small body that unfolds into a long one is cut too."""
    bomb = gzip.compress(b"x" * (LIMIT_BYTES + 1))
    provider = Provider(f"content-length: {len(bomb)}", "content-encoding: gzip", pieces=[bomb])
    async with serving(provider) as transport:
        with pytest.raises(ProtocolError, match="longer than"):
            await body_of(transport, provider)


@pytest.mark.parametrize(
    "headers",
    [("content-encoding: gzip, gzip",), ("content-encoding: gzip", "content-encoding: gzip")],
    ids=["one header", "two headers"],
)
async def test_a_body_compressed_twice_is_refused_unread(headers: tuple[str, ...]) -> None:
    """One piece of it could unfold a million times, before there is a length to count."""
    bomb = gzip.compress(gzip.compress(b"x"))
    provider = Provider(f"content-length: {len(bomb)}", *headers, pieces=[bomb])
    async with serving(provider) as transport:
        with pytest.raises(ProtocolError, match="more than once"):
            await body_of(transport, provider)
        assert "'in_use': 0" in repr(transport)


async def test_a_reader_who_stops_early_gives_the_connection_back() -> None:
    """Left before the end, the only connection is closed and the next request gets a new one."""
    provider = Provider(f"content-length: {LIMIT_BYTES}", pieces=[_PIECE] * 10)
    async with serving(provider) as transport:
        async with transport.stream(TransportRequest("GET", provider.url)) as response:
            assert response.header("content-length") == str(LIMIT_BYTES)
        assert await body_of(transport, provider) == _PIECE * 10
    assert provider.connections == 2
