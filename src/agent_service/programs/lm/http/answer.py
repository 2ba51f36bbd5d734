"""One answer on its way: head, body, end or failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dspy._vendor.lm15.transports import AsyncTransportResponse, ProtocolError, TransportError

from agent_service.programs.lm.http.unfolding import Unfolding, check_codings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class UnansweredError(TransportError):
    """The connection ended before a byte of the answer."""


class Answer(AsyncTransportResponse):
    """What lm15 reads: the head when it is there, then the body, once, whole or in pieces.

    A connection fills it. All that comes is kept until it is read, up to the limit.

    Args:
        max_body_bytes: longest body, as it comes and unfolded.
    """

    def __init__(self, *, max_body_bytes: int) -> None:
        self.status = 0
        self.is_complete = False
        self.error: TransportError | None = None
        self.when_left: Callable[[], None] | None = None
        self._reason = b""
        self._version = ""
        self._fields: list[tuple[bytes, bytes]] = []
        self._max_body_bytes = max_body_bytes
        self._left_bytes = max_body_bytes
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._unfolding: Unfolding | None = None

    def __repr__(self) -> str:
        return f"<Answer {self.status or 'not there yet'}{', whole' if self.is_complete else ''}>"

    @property
    def reason(self) -> str:
        """What the status line says beside the status."""
        return _text(self._reason)

    @property
    def http_version(self) -> str:
        """Of the status line."""
        return f"HTTP/{self._version}" if self._version else ""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values, repeated ones too."""
        return [(_text(name), _text(value)) for name, value in self._fields]

    def begin(self, status: int, reason: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> None:
        """The head is there."""
        self.status, self._reason, self._version, self._fields = status, reason, version, fields
        if self._waiter is not None:
            self._wake(self._waiter)

    def add(self, piece: bytes) -> None:
        """More of the body is there; what is too long fails."""
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            self.fail(self._too_long())
        elif self.error is None:
            self._pieces.append(piece)
            if self._waiter is not None:
                self._wake(self._waiter)

    def end(self) -> None:
        """The body is all there, unless it has failed before."""
        if self.error is None:
            self.is_complete = True
            if self._waiter is not None:
                self._wake(self._waiter)

    def fail(self, error: TransportError) -> None:
        """There will be no whole answer; the first error stays."""
        if self.error is None and not self.is_complete:
            self.error = error
            self._pieces.clear()
            if self._waiter is not None:
                self._wake(self._waiter)

    async def arrived(self) -> None:
        """Wait for the head.

        Raises:
            TransportError: when there will be none.
        """
        while not self.status:
            await self._change()
        if self.error is not None:
            raise self.error

    async def read(self) -> bytes:
        """The whole body. An error lets go of what was read, though its traceback is kept for a while."""
        while not self.is_complete:
            await self._change()
        if self._unfolding is None:
            pieces, self._pieces = self._pieces, []
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        body = bytearray()
        try:
            async for piece in self:
                body += piece
            return bytes(body)
        finally:
            body.clear()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body in pieces, as they come."""
        unfolded_bytes = 0
        while self._pieces or not self.is_complete:
            if not self._pieces:
                await self._change()
                continue
            pieces, self._pieces = self._pieces, []
            for piece in pieces if self._unfolding is None else self._unfolding.feed(b"".join(pieces)):
                unfolded_bytes += len(piece)
                if unfolded_bytes > self._max_body_bytes:
                    raise self._too_long()
                yield piece
        if self._unfolding is not None:
            self._unfolding.end()

    async def aclose(self) -> None:
        """Close the connection when the body has not come to its end."""
        self.close()

    def close(self) -> None:
        """The same."""
        if self.when_left is not None:
            self.when_left()

    def check_coding(self) -> None:
        """Refuse what would be handed on compressed, or unfold beyond the limit in one step.

        Raises:
            ProtocolError: for such a body.
        """
        codings = [_text(value) for name, value in self._fields if name.lower() == b"content-encoding"]
        if codings and (coding := check_codings(codings)):
            self._unfolding = Unfolding(coding)

    def _change(self) -> asyncio.Future[None]:
        """To wait for until more is there; raises what ended it."""
        if self.error is not None:
            raise self.error
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _wake(self, waiter: asyncio.Future[None]) -> None:
        self._waiter = None
        if waiter.done():
            return
        if self.error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(self.error)

    def _too_long(self) -> ProtocolError:
        return ProtocolError(f"the body is longer than {self._max_body_bytes} bytes")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
