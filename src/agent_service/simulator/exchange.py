"""One request and its response at the level of ASGI and, for what HTTP forbids, of the connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_EXTENSION = "agent_service.simulator"


class ConnectionProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that hands its transport to the application, so that it can break it."""

    def on_message_begin(self) -> None:
        """Start a request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


class ClientGoneError(Exception):
    """The connection is closed; nobody reads what is written."""


class Exchange:
    """Reads a request and writes its response, properly or not.

    Must run under ``ConnectionProtocol``. ``broken`` says that we broke the connection, not the client.
    """

    def __init__(self, *, scope: Scope, receive: Receive, send: Send) -> None:
        self.broken = False
        self._receive = receive
        self._send = send
        self._transport: asyncio.Transport = scope["extensions"][_EXTENSION]["transport"]

    def __repr__(self) -> str:
        return f"Exchange(broken={self.broken}, closing={self._transport.is_closing()})"

    async def read(self) -> bytes:
        """The whole request body, or what came of it before the client left."""
        body = bytearray()
        while True:
            message = await self._receive()
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                return bytes(body)

    async def client_gone(self) -> None:
        """Return when the client has closed the connection, or the response is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(
        self, status: int, content_type: str, *, length_bytes: int | None = None, headers: dict[str, str]
    ) -> None:
        """Send status and headers; without a length the body is sent in chunks."""
        named = {"content-type": content_type, **headers}
        if length_bytes is not None:
            named["content-length"] = str(length_bytes)
        encoded = [(name.encode(), value.encode()) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body.

        Raises:
            ClientGoneError: when the connection is closed.
        """
        if self._transport.is_closing():
            raise ClientGoneError
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def respond(
        self, status: int, content_type: str, body: bytes, *, headers: dict[str, str] | None = None
    ) -> None:
        """Send a whole response."""
        await self.start(status, content_type, length_bytes=len(body), headers=headers or {})
        await self.write(body, last=True)

    async def refuse(
        self,
        status: int,
        message: str,
        *,
        kind: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send an error in OpenAI's shape."""
        error = {"message": message, "type": kind, "param": None, "code": code}
        await self.respond(status, "application/json", orjson.dumps({"error": error}), headers=headers)

    async def hang(self) -> None:
        """Wait without an end; whoever watches ``client_gone`` cancels this."""
        await asyncio.get_running_loop().create_future()

    async def hang_up(self) -> None:
        """Close the connection in order (FIN) once what was written is sent."""
        self.broken = True
        self._transport.close()
        await self.hang()

    async def reset(self) -> None:
        """Break the connection (RST, by closing with SO_LINGER of zero seconds, socket(7))."""
        raw = self._transport.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(raw.fileno())) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.broken = True
        self._transport.abort()
        await self.hang()
