"""The contract of an event log. Every backend keeps it; one test suite checks it on all of them.

A stream is a sequence of events with the ids 1, 2, 3 ... of one query of one user. Promises:

* What ``append`` was given is read by any process that shares the backend's state, exactly as it was given.
* Appending the same events again changes nothing. Events are never kept with a gap before them.
* A part that begins with the id 1 begins a stream; one with another ``run_id`` takes the place of an earlier
  stream of that user and request id. A part that does not begin one is dropped unless its run_id's stream is
  there: what was erased or replaced does not come back piecemeal.
* A stream expires as a whole, ``ttl_seconds`` after its last append.
* Only the user and request id together lead to a stream, whatever characters they hold.
* ``erase`` removes the streams of a user, or of one of the user's conversations.
* A failure of the backend is raised as ``MemoryUnavailableError``; calls before ``start`` and after ``close``
  raise it too. Nothing here has to outlive a power cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.messages import ConversationId
    from agent_service.core.stream_events import StreamEvent


@dataclass(frozen=True, slots=True)
class EventLogOptions:
    """What every backend needs to know.

    Attributes:
        ttl_seconds: a stream's life after its last event.
    """

    ttl_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.ttl_seconds <= 0:
            raise ValueError("ttl_seconds must be positive")


@dataclass(frozen=True, slots=True)
class StreamPart:
    """Consecutive events, at least one, of one run's stream. Request ids are the callers', run ids ours."""

    conversation: ConversationId
    request_id: str
    run_id: str
    events: tuple[StreamEvent, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive events, and whether the stream that they are from has its last one."""

    events: tuple[StreamEvent, ...]
    has_ended: bool


class EventLog(Protocol):
    """Where the events of streams are kept for a while. See the module's promises."""

    async def start(self) -> None:
        """Make ready."""

    async def close(self) -> None:
        """Finish what was accepted and let go of everything. Safe to call twice."""

    async def append(self, parts: Sequence[StreamPart]) -> None:
        """Keep the events of ``parts``."""

    async def read(self, user_id: str, request_id: str, *, after: int, limit: int) -> Stretch | None:
        """At most ``limit`` (from 1) events behind the id ``after`` (from 0); None without a stream."""

    async def erase(self, user_id: str, session_id: str | None = None) -> None:
        """Remove the streams of a user, or of one of the user's conversations."""
