"""HTTP/1.1 as bytes, for requests that no client library would send."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """One response as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body as the problem document that it must be."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["request_id"] == self.headers["x-request-id"]
        return document


def connect(url: str, *, seconds: float = 10.0) -> socket.socket:
    """A connection to the server of ``url`` that waits for its answers ``seconds`` at most."""
    at = urlsplit(url)
    return socket.create_connection((at.hostname, at.port or 80), timeout=seconds)


def exchange(url: str, request: bytes, *, seconds: float = 10.0) -> list[Reply]:
    """Send ``request`` as it is; all responses until the server closes, none when it does so without a word.

    Nothing but whole responses may come back: trailing bytes fail.
    """
    with connect(url, seconds=seconds) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was sent whole
            connection.sendall(request)
        return replies(read_all(connection))


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = bytearray()
    with suppress(ConnectionResetError):  # closed all the same
        while piece := connection.recv(65_536):
            received += piece
    return bytes(received)


def replies(received: bytes) -> list[Reply]:
    """``received`` as responses, to the last byte."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        assert len(headers) == len(lines), f"a header occurs twice: {lines}"
        assert len(received) >= length, f"cut off: {received!r}"
        found.append(Reply(int(first.split(" ")[1]), headers, received[:length]))
        received = received[length:]
    return found


def query(**headers: bytes) -> bytes:
    """A good query that ends its connection, with more headers; underscores stand for hyphens."""
    return post(b'{"user_id": "ada", "question": "What is 2+2?"}', **headers)


def post(body: bytes, **headers: bytes) -> bytes:
    """A query with this body; see ``query``."""
    about = {"Content_Type": b"application/json", "Content_Length": b"%d" % len(body)}
    return get(b"/api/v1/query", method=b"POST", **about, **headers) + body


def get(target: bytes, *, method: bytes = b"GET", **headers: bytes) -> bytes:
    """A request without a body that ends its connection."""
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: agent", b"Connection: close"]
    lines += [name.replace("_", "-").encode() + b": " + value for name, value in headers.items()]
    return b"\r\n".join([*lines, b"", b""])
