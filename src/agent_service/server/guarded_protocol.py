"""HTTP/1.1 for the open internet: uvicorn's httptools protocol with every wait and every head bounded.

Uvicorn 0.54 waits without limit for a head, for a body and for a client that reads, and takes heads of any
size, so that a few slow clients can hold a server (CWE-400, "slowloris"). The subclass relies on attributes
that uvicorn may change between minor versions; its tests run against a real uvicorn for that reason.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, NoReturn

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agent_service.api.departures import DEPARTURES
from agent_service.api.problems import PROBLEM_MEDIA_TYPE, problem_of
from agent_service.core.errors import MalformedRequestError
from agent_service.server.departure_watches import DepartureWatches
from agent_service.server.joined_writes import JoinedWrites

if TYPE_CHECKING:
    import asyncio

LINGER_SECONDS = 2.0
"""How long a refused client may go on sending: closing at once would reset the connection before it reads."""


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What a client may make us wait for, and how much of it.

    Attributes:
        head_timeout_seconds: from connecting to the first byte, and from a head's first byte to its last.
        body_timeout_seconds: from the end of the head to the end of the body.
        unread_timeout_seconds: how long a client may take nothing of what waits for it; the kernel notices
            in steps of a part of its send buffer.
        max_head_bytes: all header names and values of one request, trailers included.
        max_headers: how many headers one request may have.
        max_url_bytes: path and query; RFC 9112 section 3 asks for at least 8000.
    """

    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    unread_timeout_seconds: float = 30.0
    max_head_bytes: int = 32_768
    max_headers: int = 100
    max_url_bytes: int = 8192

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


class _Expecting(Enum):
    """What the client has to send next."""

    REQUEST = "request"
    HEAD = "rest of the head"
    BODY = "rest of the body"


_ATTRIBUTES = (
    "_broken_limit",
    "_departures",
    "_expecting",
    "_head_bytes",
    "_held_back",
    "_refused",
    "_timer",
    "_undelivered_bytes",
    "_unread_timer",
    "_writes",
)
"""Apart from uvicorn's, whose dict would be too large with them to share its keys between connections."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. What breaks a limit is answered with 400, 408, 414 or 431 and the connection is closed.

    A client that reads nothing cannot be told so: its connection is cut off. Time that the service itself
    takes (a long query, a paused body, a pipelined request in line) is never counted against the client.
    """

    __slots__ = _ATTRIBUTES
    options: ClassVar[GuardOptions] = GuardOptions()

    @classmethod
    def with_options(cls, options: GuardOptions) -> type[GuardedProtocol]:
        """The protocol with other limits; uvicorn makes one instance a connection and passes none of ours."""
        return type(cls.__name__, (cls,), {"options": options})

    def __repr__(self) -> str:
        return f"<GuardedProtocol {self.client} expecting {self._expecting.value}>"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the wait for a first byte."""
        super().connection_made(transport)
        self._expecting = _Expecting.REQUEST
        self._timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._broken_limit: tuple[int, str] | None = None
        self._refused = False
        self._head_bytes = self._undelivered_bytes = 0
        self._held_back = False  # whether it was our turn at some time since the timer started
        self._writes = JoinedWrites(transport, self.loop)
        self._departures = DepartureWatches(
            self.loop, read_on=self.flow.resume_reading, hang_up=self._hang_up
        )
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no timer behind, and tell who watches that the client is gone."""
        self._unwatch()
        self._unwatch_reader()
        super().connection_lost(exc)
        self._departures.tell()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The client has read nearly everything."""
        super().resume_writing()
        self._unwatch_reader()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see to it that what is still missing comes in time."""
        if self._refused:
            return
        self._undelivered_bytes += len(data)
        super().data_received(data)
        self._judge_progress()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.scope[DEPARTURES] = self._departures  # type: ignore[literal-required] # ASGI has room for what servers add
        self._head_bytes = 0
        self._expect(_Expecting.HEAD)

    def on_url(self, url: bytes) -> None:
        """Part of the URL is read."""
        super().on_url(url)
        if len(self.url) > self.options.max_url_bytes:
            self._stop_parsing(414, f"The URL is longer than {self.options.max_url_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or trailer is read."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if len(self.headers) > self.options.max_headers:
            self._stop_parsing(431, f"There are more than {self.options.max_headers} headers.")
        if self._head_bytes > self.options.max_head_bytes:
            self._stop_parsing(431, f"The headers are longer than {self.options.max_head_bytes} bytes.")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        super().on_headers_complete()
        self.cycle.transport = self._writes  # type: ignore[assignment] # it needs no more of a transport
        self._expect(_Expecting.BODY)
        self._held_back = self.flow.read_paused

    def on_body(self, body: bytes) -> None:
        """Part of the body is read."""
        super().on_body(body)
        self._undelivered_bytes = 0
        self._held_back |= self.flow.read_paused

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._expect(_Expecting.REQUEST)

    def on_response_complete(self) -> None:
        """It is the client's turn again, and it gets the whole time."""
        self._held_back = True
        self._writes.end_answer()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn calls this when the parser fails; one of the failures is our own limit."""
        del msg
        self._refuse(*(self._broken_limit or (400, "This is not valid HTTP/1.1.")))

    def _stop_parsing(self, status: int, detail: str) -> NoReturn:
        """Fail within the parser, which makes uvicorn ask for ``send_400_response``."""
        self._broken_limit = (status, detail)
        raise HttpParserError(detail)

    def _judge_progress(self) -> None:
        if self._refused or self.transport.is_closing():
            return
        # The parser keeps an unfinished header or trailer to itself, so what it delivered does not bound it.
        if self._undelivered_bytes > self.options.max_head_bytes:
            self._refuse(431, f"The headers are longer than {self.options.max_head_bytes} bytes.")
        else:
            self._watch()

    def _expect(self, expecting: _Expecting) -> None:
        self._expecting, self._undelivered_bytes, self._held_back = expecting, 0, False
        self._unwatch()

    def _watch(self) -> None:
        """Start the timer of what is expected, unless it runs already or nothing is owed."""
        if self._timer is None and not (self._expecting is _Expecting.REQUEST and self._answering()):
            in_body = self._expecting is _Expecting.BODY
            seconds = self.options.body_timeout_seconds if in_body else self.options.head_timeout_seconds
            self._timer = self.loop.call_later(seconds, self._on_timeout)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch_reader(self) -> None:
        self._unread_timer = self.loop.call_later(
            self.options.unread_timeout_seconds, self._on_unread, self.transport.get_write_buffer_size()
        )

    def _unwatch_reader(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _on_unread(self, unread_bytes: int) -> None:
        if self.transport.get_write_buffer_size() < unread_bytes:
            self._watch_reader()
        else:
            self.transport.abort()

    def _answering(self) -> bool:
        cycle = self.cycle  # None before the first request, whatever uvicorn's annotation says
        return cycle is not None and not cycle.response_complete  # type: ignore[redundant-expr]

    def _on_timeout(self) -> None:
        self._timer = None
        in_body = self._expecting is _Expecting.BODY
        if self._held_back or (self._answering() and not in_body):
            self._held_back = self.flow.read_paused
            self._watch()
        elif self._expecting is _Expecting.REQUEST:
            self.transport.close()
        else:
            self._refuse(408, f"The {self._expecting.value} did not come in time.")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, unless the answer would be taken for another request's, and end the connection."""
        self._refused = True
        self._unwatch()
        if self.transport.is_closing():
            return
        if self._expecting is not _Expecting.BODY and self._answering():
            self.cycle.keep_alive = False
            return
        if self._expecting is _Expecting.BODY and self._give_up_request():
            self.transport.close()
            return
        self.transport.write(_refusal(status, detail, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:  # TLS has no half of an end, and reads on by itself until the client confirms it
            self.transport.close()

    def _hang_up(self) -> None:
        """What is not sent yet is dropped, and an answer that was begun needs no end."""
        self.cycle.disconnected = True
        self.transport.abort()

    def _give_up_request(self) -> bool:
        """Tell the application that its client is gone; returns whether it is too late for another answer."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return self.cycle.response_started or bool(self.pipeline)


def _refusal(status: int, detail: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole response, problem document and end of the connection, to a request that cannot be read."""
    request_id = str(uuid.uuid4())
    problem = problem_of(MalformedRequestError(detail), request_id).model_copy(update={"status": status})
    body = problem.model_dump_json(exclude_unset=True).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
        *(name + b": " + value for name, value in headers),
        f"content-type: {PROBLEM_MEDIA_TYPE}".encode(),
        f"content-length: {len(body)}".encode(),
        f"x-request-id: {request_id}".encode(),
        b"connection: close",
    ]
    return b"\r\n".join([*lines, b"", body])
