"""What waits for one reader of a stream, within a bound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_service.core.clock import wait_at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.clock import Clock
    from agent_service.core.stream_events import StreamEvent

_EVENT_BYTES = 100
"""About what an event takes besides its data."""


class Reader:
    """A buffer that whoever fills it never waits for: a reader that is too slow is cut off instead.

    Args:
        clock: limits the waits.
        limit_bytes: what may wait, at one byte a character; the last event is over no limit.
    """

    def __init__(self, *, clock: Clock, limit_bytes: int) -> None:
        self.cut_off: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._is_closed = False
        self._waiting: list[StreamEvent] = []
        self._waiting_bytes = 0
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Reader {len(self._waiting)} events, {self._waiting_bytes} B waiting>"

    def put(self, event: StreamEvent) -> None:
        """Add ``event``; on the event loop."""
        if self._is_closed:
            return
        if self._waiting_bytes > self._limit_bytes:
            self.close()
            self.cut_off.set_result(None)
            return
        self._waiting.append(event)
        self._waiting_bytes += len(event.data) + _EVENT_BYTES
        self._news.set()

    def close(self) -> None:
        """Nobody reads any more."""
        self._is_closed = True
        self._waiting.clear()

    async def take(self, wait_seconds: float) -> Sequence[StreamEvent]:
        """All that waits, in order; when nothing does, what comes within ``wait_seconds``, else nothing."""
        if not self._waiting:
            news = asyncio.ensure_future(self._news.wait())
            try:
                await wait_at_most(self._clock, wait_seconds, news)
            finally:
                news.cancel()
        taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._news.clear()
        return taken
