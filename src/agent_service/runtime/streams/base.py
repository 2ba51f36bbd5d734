"""What the outside may ask of streams: to follow a query, and to pick a stream up again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from agent_service.core.errors import ServiceError
    from agent_service.core.messages import Answer, Query
    from agent_service.core.stream_events import StreamEvent


class EventSource(Protocol):
    """The events of one stream, for one reader. Whoever has one calls ``leave`` in the end."""

    cut_off: asyncio.Future[None]
    """Done when the reader is too slow and gets no more."""
    is_replay: bool
    """Whether the answer was given before, to the same idempotency key."""

    async def take(self, wait_seconds: float) -> Sequence[StreamEvent]:
        """The events that follow, or none when none came within ``wait_seconds``.

        Raises:
            ServiceError: the stream cannot be read any further.
        """

    def leave(self) -> None:
        """Read no more. Stops the run, unless it is over or was to go on."""


class Following(Protocol):
    """Answers queries and tells of their steps meanwhile."""

    async def follow(self, query: Query, *, goes_on: bool) -> EventSource:
        """Start answering ``query``; returns when there is a first event.

        A run that ``goes_on`` is not stopped when its reader leaves. Cancelling the call stops it always.

        Raises:
            ServiceError: the query was refused, or failed before its first event.
        """


class Resuming(Protocol):
    """Reads streams again."""

    async def resume(self, user_id: str, request_id: str, *, after: int) -> EventSource | None:
        """The events of a user's stream that follow the id ``after``; None when it has ended there.

        Raises:
            NotFoundError: the user has, or had lately, no such stream.
            MemoryUnavailableError: it cannot be looked up.
        """


class Presentation(Protocol):
    """Writes the last event of a stream as callers read it."""

    def answer(self, answer: Answer) -> str:
        """The whole answer as one line of JSON."""

    def problem(self, error: ServiceError, request_id: str) -> str:
        """The problem document as one line of JSON."""
