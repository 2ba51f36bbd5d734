"""A connection without a network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_service.programs.lm.http.answer import Answer
from agent_service.programs.lm.http.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LIMIT_BYTES = 1000


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, *, pending_bytes: int = 0) -> None:
        super().__init__()
        self.written = b""
        self.when_closed: Callable[[], None] | None = None
        self._closing = False
        self._pending_bytes = pending_bytes

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Keep it."""
        self.written += b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        """What is not sent yet."""
        return self._pending_bytes

    def abort(self) -> None:
        """From now on it is closed; its connection is told in the loop's next turn."""
        if self.when_closed is not None and not self._closing:
            asyncio.get_running_loop().call_soon(self.when_closed)
        self._closing = True

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closing


class Wire:
    """A connection, and the exchange that is on it."""

    def __init__(self, *, has_body: bool = True, transport: FakeTransport | None = None) -> None:
        self.ends: list[bool] = []
        self.lost = 0
        self.transport = transport or FakeTransport()
        self.connection = Connection(
            when_over=lambda _, reusable: self.ends.append(reusable), when_lost=self._count_lost
        )
        self.connection.connection_made(self.transport)
        self._has_body = has_body
        self.ask()

    def ask(self) -> None:
        """Begin an exchange."""
        self.answer = Answer(max_body_bytes=LIMIT_BYTES)
        self.connection.ask((b"GET / HTTP/1.1\r\n\r\n",), self.answer, has_body=self._has_body)

    def receive(self, data: bytes) -> None:
        """Let ``data`` come, as long as the connection is open."""
        if not self.transport.is_closing():
            self.connection.data_received(data)

    def _count_lost(self, _: Connection) -> None:
        self.lost += 1
