"""Heads of requests, made once for all that differ in their bodies only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dspy._vendor.lm15.transports import ProtocolError
from dspy._vendor.lm15.transports._url import parse_url

from agent_service.programs.lm.http.connector import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dspy._vendor.lm15.transports import TransportRequest

# Identity, because a compressed stream of events waits in a proxy until a window is full.
STANDARD_HEADERS = {"User-Agent": "lm15/stdlib", "Accept": "*/*", "Accept-Encoding": "identity"}

_WITH_BODY = {"POST", "PUT", "PATCH"}
_METHODS = _WITH_BODY | {"GET", "HEAD", "DELETE"}
_OF_THE_CONNECTION = {"connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"}
_ADDRESS = re.compile(r"https?://[\w.:\[\]-]+(?:[/?][!-\"$-~]*)?", re.ASCII)
_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_VALUE = re.compile(r"[^\r\n\0]*")


@dataclass(frozen=True)
class RequestHead:
    """All of one kind of request but its body.

    Attributes:
        method: in upper case.
        url: the whole address.
        origin: where it goes.
        lines: as they are sent, up to the length of the body.
    """

    method: str
    url: str
    origin: Origin
    lines: bytes
    _headers: list[tuple[str, str]]

    def __repr__(self) -> str:
        return f"<RequestHead {self.method}>"

    @staticmethod
    def suits(request: TransportRequest) -> bool:
        """Whether it is of the plain kind that is sent here; the rest is for a whole HTTP library."""
        return (
            request.method in _METHODS
            and _ADDRESS.fullmatch(request.url) is not None
            and not any(name.lower() in _OF_THE_CONNECTION for name, _ in request.headers)
        )

    @classmethod
    def of(cls, request: TransportRequest) -> RequestHead:
        """The head of ``request``, for which ``suits`` holds.

        Raises:
            ProtocolError: when there is a line feed in a header or the like; says nothing of its value.
            ValueError: for an address that is none.
        """
        url = parse_url(request.url)
        for name, value in request.headers:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ProtocolError("a header has characters that cannot be sent")
        own = {name.lower() for name, _ in request.headers}
        standard = {"Host": url.host_header(), **STANDARD_HEADERS}
        headers = [(name, value) for name, value in standard.items() if name.lower() not in own]
        lines = [f"{request.method} {url.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in [*headers, *request.headers]]
        encoded = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        origin = Origin(url.is_tls, url.host, url.port)
        return cls(request.method, request.url, origin, encoded, list(request.headers))

    def fits(self, request: TransportRequest) -> bool:
        """Whether it is that of ``request``, too."""
        same: bool = request.headers == self._headers
        return same and self.url == request.url and self.method == request.method

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> RequestHead:
        """The same head with more headers, whose characters can be sent."""
        lines = "".join(f"\r\n{name}: {value}" for name, value in headers).encode()
        return RequestHead(self.method, self.url, self.origin, self.lines + lines, self._headers)

    def with_body(self, body: bytes) -> tuple[bytes, ...]:
        """The whole request, in pieces, because a body may be long and is not to be held twice."""
        if not body and self.method not in _WITH_BODY:
            return (self.lines, b"\r\n\r\n")
        return (self.lines, b"\r\nContent-Length: %d\r\n\r\n" % len(body), body)
