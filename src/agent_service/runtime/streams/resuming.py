"""Streams that are picked up again, by any worker: read from the event log until their last event."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.core.clock import Clock, Deadline, sleep
from agent_service.core.errors import InternalError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.stream_events import StreamEvent
    from agent_service.memory.event_log.base import EventLog

APPEARING_SECONDS = 0.5
"""A client may be back before the first events are kept."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.25
_EVENTS_PER_READ = 500


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """How long a stream is read.

    Attributes:
        silence_seconds: a run that has told nothing for that long is over, with its process; longer than one
            can take.
    """

    silence_seconds: float = 35.0

    def __post_init__(self) -> None:
        if self.silence_seconds <= 0:
            raise ValueError("silence_seconds must be positive")


class KeptStreams:
    """Reads streams again; see ``Resuming``.

    Args:
        log: where their events are kept.
        clock: paces the reading.
        options: how long a stream is read.
    """

    def __init__(self, *, log: EventLog, clock: Clock, options: ResumeOptions) -> None:
        self._log = log
        self._clock = clock
        self._options = options

    def __repr__(self) -> str:
        return f"<KeptStreams in {self._log!r}>"

    async def resume(self, user_id: str, request_id: str, *, after: int) -> KeptStream | None:
        """See ``Resuming``."""
        stream = KeptStream(
            user_id, request_id, after, log=self._log, clock=self._clock, options=self._options
        )
        appears = Deadline.after(self._clock, APPEARING_SECONDS)
        while True:
            try:
                return stream if await stream.look() else None
            except NotFoundError:
                if appears.passed():
                    raise
            await sleep(self._clock, FIRST_PAUSE_SECONDS)


class KeptStream:
    """One stream that is read from the log; see ``EventSource``. Nothing is read before it is asked for."""

    is_replay = False

    def __init__(
        self,
        user_id: str,
        request_id: str,
        after: int,
        *,
        log: EventLog,
        clock: Clock,
        options: ResumeOptions,
    ) -> None:
        self.cut_off: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._user_id = user_id
        self._request_id = request_id
        self._after = after
        self._log = log
        self._clock = clock
        self._options = options
        self._found: Sequence[StreamEvent] = ()
        self._over = Deadline.after(clock, options.silence_seconds)

    def __repr__(self) -> str:
        return f"<KeptStream read to {self._after}>"

    async def look(self) -> bool:
        """Read what is there; whether there is something, or may be later.

        Raises:
            NotFoundError: the stream is not kept, or not any more.
        """
        read = await self._log.read(
            self._user_id, self._request_id, after=self._after, limit=_EVENTS_PER_READ
        )
        if read is None:
            raise NotFoundError("There is no such stream, or it is not kept any more.")
        self._found = read.events
        return bool(read.events) or not read.has_ended

    async def take(self, wait_seconds: float) -> Sequence[StreamEvent]:
        """The events that follow; none when none came within ``wait_seconds``."""
        waited, pause_seconds = Deadline.after(self._clock, wait_seconds), FIRST_PAUSE_SECONDS
        while not self._found and not waited.passed():
            if self._over.passed():
                raise InternalError("The run ended without a last event.")
            await sleep(self._clock, min(pause_seconds, waited.remaining_seconds()))
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            await self.look()
        taken, self._found = self._found, ()
        if taken:
            self._after = taken[-1].id
            self._over = Deadline.after(self._clock, self._options.silence_seconds)
        return taken

    def leave(self) -> None:
        """Nothing: the run is somebody else's."""
