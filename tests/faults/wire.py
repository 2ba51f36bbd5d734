"""A client below HTTP: it sends the bytes it is told to, or keeps silent, and reads what comes."""

from __future__ import annotations

import json
import re
import socket
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    from tests.processes import Service

LIVE = b"GET /api/v1/live HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST /api/v1/query HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Wire:
    """One TCP connection to the service, closed at the end of its ``with``."""

    def __init__(self, service: Service, *, receive_buffer_bytes: int | None = None) -> None:
        address = urlsplit(service.url())
        self._socket = socket.socket()
        self._socket.settimeout(20)
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.connect((address.hostname, address.port))
        self._unread = b""

    def __enter__(self) -> Wire:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send ``data``; whatever the service thinks of it."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the next response."""
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        while len(rest) < length:
            self._receive()
            rest = self._unread.partition(b"\r\n\r\n")[2]
        self._unread = rest[length:]
        return int(head.split()[1]), rest[:length]

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while True:
            try:
                received = self._socket.recv(65536)
            except ConnectionResetError:
                received = b""
            if not received:
                return self._unread
            self._unread += received

    def is_closed(self) -> bool:
        """Whether the service has ended the connection."""
        self._socket.setblocking(False)
        try:
            while received := self._socket.recv(65536):
                self._unread += received
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self._socket.settimeout(20)
        return True

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off (RST, by closing with SO_LINGER of zero seconds, socket(7))."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _receive(self) -> None:
        received = self._socket.recv(65536)
        assert received, f"the connection ended after {self._unread!r}"
        self._unread += received


def query(question: str, *, user_id: str = "ada") -> bytes:
    """A whole request."""
    body = json.dumps({"user_id": user_id, "question": question}).encode()
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
