"""Streams in the memory of one process: for tests, and where nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from agent_service.memory.base import unavailable
from agent_service.memory.event_log.base import Stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.clock import Clock
    from agent_service.core.stream_events import StreamEvent
    from agent_service.memory.event_log.base import EventLogOptions, StreamPart

_FORGOTTEN_PER_APPEND = 2
"""Above one, so that streams go faster than new ones come."""


@dataclass(slots=True)
class _Stream:
    session_id: str
    run_id: str
    expires_at: float = 0.0
    events: list[StreamEvent] = field(default_factory=list)


class InMemoryEventLog:
    """Keeps the contract of ``memory.event_log.base``.

    Args:
        options: a stream's life.
        clock: tells when one expires.
    """

    def __init__(self, options: EventLogOptions, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._is_open = False
        self._streams: dict[tuple[str, str], _Stream] = {}

    def __repr__(self) -> str:
        return f"<InMemoryEventLog {len(self._streams)} streams>"

    async def start(self) -> None:
        """Accept calls."""
        self._is_open = True

    async def close(self) -> None:
        """Forget everything."""
        self._is_open = False
        self._streams.clear()

    async def append(self, parts: Sequence[StreamPart]) -> None:
        """See ``EventLog``."""
        self._check_open()
        for part in parts:
            self._append(part)

    async def read(self, user_id: str, request_id: str, *, after: int, limit: int) -> Stretch | None:
        """See ``EventLog``."""
        self._check_open()
        stream = self._live((user_id, request_id))
        if stream is None:
            return None
        return Stretch(tuple(stream.events[after : after + limit]), stream.events[-1].is_last)

    async def erase(self, user_id: str, session_id: str | None = None) -> None:
        """See ``EventLog``."""
        self._check_open()
        for key, stream in list(self._streams.items()):
            if key[0] == user_id and session_id in {None, stream.session_id}:
                del self._streams[key]

    def _append(self, part: StreamPart) -> None:
        key, first = (part.conversation.user_id, part.request_id), part.events[0].id
        stream = self._live(key)
        if stream is None or stream.run_id != part.run_id:
            if first != 1:
                return
            stream = _Stream(part.conversation.session_id, part.run_id)
        if first <= len(stream.events) + 1:
            stream.events += part.events[len(stream.events) + 1 - first :]
        stream.expires_at = self._clock.wall() + self._options.ttl_seconds
        self._streams.pop(key, None)
        self._streams[key] = stream
        for old in list(islice(self._streams, _FORGOTTEN_PER_APPEND)):
            self._live(old)

    def _live(self, key: tuple[str, str]) -> _Stream | None:
        """The stream, unless it has expired: then it is forgotten."""
        stream = self._streams.get(key)
        if stream is not None and stream.expires_at <= self._clock.wall():
            del self._streams[key]
            return None
        return stream

    def _check_open(self) -> None:
        if not self._is_open:
            raise unavailable("The event log is closed.")
