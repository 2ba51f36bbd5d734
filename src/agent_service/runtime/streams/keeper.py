"""Keeps the events of streams in the event log, in batches, off the path of the runs."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_service.core.clock import wait_at_most
from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.stream_events import ERROR, StreamEvent
from agent_service.memory.event_log.base import StreamPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.core.clock import Clock, Timer
    from agent_service.core.messages import Query
    from agent_service.memory.event_log.base import EventLog
    from agent_service.runtime.streams.base import Presentation

_log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.1
RETRY_SECONDS = 1.0
_EVENT_BYTES = 100
_FIRST_KIND = "run.started"


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """Bounds of what is kept.

    Attributes:
        stream_bytes: of one stream, at one byte a character; a longer one cannot be picked up to its end.
        waiting_bytes: of all streams together, while the log is slow or does not answer.
    """

    stream_bytes: int = 4 * 2**20
    waiting_bytes: int = 32 * 2**20

    def __post_init__(self) -> None:
        if min(self.stream_bytes, self.waiting_bytes) < 1:
            raise ValueError("stream_bytes and waiting_bytes must be at least 1")


@dataclass(eq=False, slots=True)
class _Kept:
    """One stream that is being kept, and its events that wait for the log."""

    query: Query
    run_id: str
    size_bytes: int = 0
    waiting: list[StreamEvent] = field(default_factory=list)


class EventKeeper:
    """Appends what happens in streams to the event log, about ten times a second, all streams together.

    No run ever waits for it. While the log fails, events wait; when too much does, those streams are given up
    and cannot be picked up again.

    Args:
        log: where events go.
        presentation: writes the end of a stream that is too long.
        clock: paces the appends.
        options: bounds of what is kept.
    """

    def __init__(
        self, *, log: EventLog, presentation: Presentation, clock: Clock, options: KeeperOptions
    ) -> None:
        self._log = log
        self._presentation = presentation
        self._clock = clock
        self._options = options
        self._open: set[_Kept] = set()
        self._waiting: dict[_Kept, None] = {}
        self._waiting_bytes = 0
        self._is_failing = False
        self._timer: Timer | None = None
        self._flushing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<EventKeeper {len(self._open)} streams open, {self._waiting_bytes} B waiting>"

    def keep(self, query: Query) -> Callable[[StreamEvent], None]:
        """A follower that keeps the events of ``query``, unless its answer is one that was given before."""
        kept = _Kept(query, str(uuid.uuid4()))
        return lambda event: self._take(kept, event)

    async def erase(self, user_id: str, session_id: str | None = None) -> None:
        """Forget the streams of a user, or of one conversation; those that run are kept no longer.

        Raises:
            MemoryUnavailableError: the log cannot be written.
        """
        for kept in list(self._open):
            at = kept.query.conversation
            if at.user_id == user_id and session_id in {None, at.session_id}:
                self._give_up(kept)
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        await self._log.erase(user_id, session_id)

    async def flushed(self, within_seconds: float) -> None:
        """Append what waits, at the latest within ``within_seconds``."""
        flushing = asyncio.ensure_future(self._flush_all())
        try:
            await wait_at_most(self._clock, within_seconds, flushing)
        finally:
            flushing.cancel()
            if self._timer is not None:
                self._timer.cancel()

    def _take(self, kept: _Kept, event: StreamEvent) -> None:
        if event.id == 1 and event.kind == _FIRST_KIND:
            self._open.add(kept)
        if kept not in self._open:
            return
        if kept.size_bytes > self._options.stream_bytes and not event.is_last:
            event = self._end_of(kept, event)
        kept.size_bytes += _size_bytes(event)
        kept.waiting.append(event)
        self._waiting[kept] = None
        self._waiting_bytes += _size_bytes(event)
        if event.is_last:
            self._open.discard(kept)
        if self._waiting_bytes > self._options.waiting_bytes:
            self._give_all_up()
        elif self._timer is None and self._flushing is None:
            self._timer = self._flush_in(FLUSH_SECONDS)

    def _end_of(self, kept: _Kept, event: StreamEvent) -> StreamEvent:
        error = MemoryUnavailableError("The stream is too long to be picked up again.")
        return StreamEvent(event.id, ERROR, self._presentation.problem(error, kept.query.request_id))

    def _flush_in(self, seconds: float) -> Timer:
        def begin() -> None:
            self._begin_flush()

        return self._clock.call_later(seconds, begin)

    def _begin_flush(self) -> asyncio.Task[None]:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush())
        self._flushing.add_done_callback(self._flushed)
        return self._flushing

    async def _flush(self) -> None:
        """Append what waits now; it goes on waiting when that fails."""
        parts = {kept: tuple(kept.waiting) for kept in self._waiting if kept.waiting}
        await self._log.append(
            [
                StreamPart(kept.query.conversation, kept.query.request_id, kept.run_id, events)
                for kept, events in parts.items()
            ]
        )
        for kept, events in parts.items():
            self._forget(kept, len(events))

    def _flushed(self, flushing: asyncio.Task[None]) -> None:
        """Go on with what came meanwhile."""
        self._flushing = None
        error = None if flushing.cancelled() else flushing.exception()
        if error is not None and not self._is_failing:
            _log.warning("events of streams cannot be kept for now", exc_info=error)
        self._is_failing = error is not None
        if self._waiting:
            seconds = RETRY_SECONDS if self._is_failing else FLUSH_SECONDS
            self._timer = self._flush_in(seconds)

    async def _flush_all(self) -> None:
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self._waiting:
            await asyncio.wait({self._begin_flush()})

    def _forget(self, kept: _Kept, number: int) -> None:
        """The oldest ``number`` of a stream's events wait no longer."""
        gone, kept.waiting = kept.waiting[:number], kept.waiting[number:]
        self._waiting_bytes -= sum(map(_size_bytes, gone))
        if not kept.waiting:
            self._waiting.pop(kept, None)

    def _give_up(self, kept: _Kept) -> None:
        self._open.discard(kept)
        self._forget(kept, len(kept.waiting))

    def _give_all_up(self) -> None:
        number = len(self._waiting)
        _log.warning("the event log does not keep up: %d streams cannot be picked up again", number)
        for kept in list(self._waiting):
            self._give_up(kept)


def _size_bytes(event: StreamEvent) -> int:
    return len(event.data) + _EVENT_BYTES
