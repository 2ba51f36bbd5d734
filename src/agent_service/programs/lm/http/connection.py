"""One connection to a provider, for one exchange after the other.

The parser is llhttp, by httptools, as strict as it is made: two lengths, a length beside chunks, and other
ways in which two readers could disagree are errors. Whatever comes unasked for ends the connection, so that
no answer is ever taken for that of the next request (RFC 9112, 11.2, response splitting).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools
from dspy._vendor.lm15.transports import ProtocolError, ReadError, TransportError

from agent_service.programs.lm.http.answer import UnansweredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.programs.lm.http.answer import Answer

MAX_HEAD_BYTES = 64 * 1024
"""Of a head, of trailers, of all that is not body between two pieces of it."""

_OK = 200
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Connection(asyncio.Protocol):
    """Sends requests and fills their answers. Made by ``loop.create_connection``.

    Args:
        when_over: told once for each exchange, when it has ended in whatever way; says whether the
            connection can be used again.
        when_lost: told when it ends between two exchanges.
    """

    def __init__(
        self, *, when_over: Callable[[Connection, bool], None], when_lost: Callable[[Connection], None]
    ) -> None:
        self.idle_since_seconds = 0.0
        self.is_used = False
        self._when_over = when_over
        self._when_lost = when_lost
        self._answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._has_head = self._has_body = self._is_unasked = False
        self._keeps_alive = self._lasts_until_closed = False
        self._overhead_bytes = 0

    def __repr__(self) -> str:
        return f"<Connection {'in use' if self._answer else 'idle'}>"

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return not self._transport.is_closing()

    def ask(self, message: tuple[bytes, ...], answer: Answer, *, has_body: bool = True) -> None:
        """Send a request, all its pieces; ``has_body`` is false when the answer is only a head (``HEAD``)."""
        self._answer = answer
        answer.when_left = self._leave
        self._has_body = has_body
        self._has_head = self._keeps_alive = self._lasts_until_closed = False
        self._overhead_bytes = 0
        self._transport.writelines(message)

    def fail(self, error: TransportError) -> None:
        """End the connection, and with ``error`` the exchange."""
        if self._answer is not None:
            self._answer.fail(error)
            self._over(reusable=False)

    def abort(self) -> None:
        """End the connection, which is in no exchange."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Of ``asyncio.Protocol``."""
        answer = self._answer
        if answer is None:
            self._transport.abort()
            return
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps_alive = False
            answer.fail(ProtocolError(f"the answer is no HTTP/1.1: {type(error).__name__}"))
        if answer.is_complete:
            pending_bytes = self._transport.get_write_buffer_size()
            self._over(reusable=self._keeps_alive and not self._is_unasked and not pending_bytes)
        elif self._overhead_bytes > MAX_HEAD_BYTES:
            self.fail(_too_long())
        elif answer.error is not None:
            self._over(reusable=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of ``asyncio.Protocol``."""
        answer = self._answer
        if answer is None:
            self._when_lost(self)
            return
        if self._lasts_until_closed and exc is None:
            answer.end()
        elif not self._overhead_bytes and not self._has_head:
            answer.fail(UnansweredError("the connection was closed before there was an answer"))
        else:
            answer.fail(ReadError("the connection was closed in the middle of the answer"))
        self._over(reusable=False)

    def on_message_begin(self) -> None:
        """Of the parser. After the end of an answer nothing may begin."""
        self._is_unasked = self._answer is None or self._answer.is_complete
        self._fields, self._reason = [], b""

    def on_status(self, reason: bytes) -> None:
        """Of the parser; a long phrase comes in pieces."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the parser; trailers are not kept."""
        if not self._has_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Of the parser. Answers below 200 only announce the one that counts."""
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None or self._is_unasked or status < _OK:
            return
        self._has_head = True
        self._keeps_alive = self._parser.should_keep_alive() and self._has_body
        self._lasts_until_closed = not any(name.lower() in _FRAMING for name, _ in self._fields)
        if self._overhead_bytes > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            answer.fail(_too_long())
            return
        answer.begin(status, self._reason, self._parser.get_http_version(), self._fields)
        if not self._has_body:
            answer.end()

    def on_body(self, piece: bytes) -> None:
        """Of the parser."""
        if self._answer is not None and not self._is_unasked:
            self._overhead_bytes = 0
            self._answer.add(piece)

    def on_message_complete(self) -> None:
        """Of the parser."""
        if self._answer is not None and self._has_head and not self._is_unasked:
            self._answer.end()

    def _head_bytes(self) -> int:
        return len(self._reason) + sum(len(name) + len(value) for name, value in self._fields)

    def _leave(self) -> None:
        """Nobody wants the rest of the answer."""
        self.fail(TransportError("the answer was left"))

    def _over(self, *, reusable: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.when_left = None
        self.is_used = True
        if not reusable:
            self._transport.abort()
        self._when_over(self, reusable)


def _too_long() -> ProtocolError:
    return ProtocolError(f"the head of the answer is longer than {MAX_HEAD_BYTES} bytes")
