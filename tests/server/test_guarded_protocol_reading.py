"""Clients that do not read their answers, against a real connection with a short limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import ServerState

from agent_service.server.guarded_protocol import GuardedProtocol, GuardOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

LIMIT_SECONDS = 0.25
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
PIECE = b"a" * 500_000
PIECES = 4


class Flood:
    """Answers with more than all buffers on the way hold."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = [(b"content-length", b"%d" % (len(PIECE) * PIECES))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.ended.set()


@contextlib.asynccontextmanager
async def asked(app: Flood) -> AsyncIterator[socket.socket]:
    """A client that has sent its request and has a small buffer."""
    protocol = GuardedProtocol.with_options(GuardOptions(unread_timeout_seconds=LIMIT_SECONDS))
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_level="critical")
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # else the kernel takes most of the answer
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), sock=listener
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        await loop.sock_sendall(client, GET)
        try:
            yield client
        finally:
            server.close()
            for connection in state.connections:
                connection.transport.abort()
            await asyncio.gather(*state.tasks)


async def test_who_reads_nothing_is_cut_off_and_its_answer_let_go() -> None:
    """The application is not held up for ever by a window that stays shut, and nothing stays in memory."""
    app = Flood()
    async with asked(app):
        await asyncio.wait_for(app.ended.wait(), timeout=LIMIT_SECONDS * 20)


async def test_who_reads_slowly_gets_the_whole_answer() -> None:
    """What counts is that something is taken within the limit, not how long the whole takes."""
    app = Flood()
    loop = asyncio.get_running_loop()
    began, received = loop.time(), 0
    async with asked(app) as client:
        while data := await loop.sock_recv(client, 2**22):
            received += len(data)
            if loop.time() < began + LIMIT_SECONDS * 4:
                await asyncio.sleep(LIMIT_SECONDS / 50)
            if received > len(PIECE) * PIECES:
                break

    assert received > len(PIECE) * PIECES
    assert loop.time() > began + LIMIT_SECONDS * 2
