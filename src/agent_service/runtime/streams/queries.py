"""Queries that are followed: each run in a task of the service's own, its events to a reader."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.core.clock import wait_at_most
from agent_service.core.errors import CancelledByCallerError, InternalError, ServiceError
from agent_service.core.observer import StreamCutOff
from agent_service.runtime.owned_tasks import OwnedTasks
from agent_service.runtime.streams.feed import EventFeed
from agent_service.runtime.streams.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_service.core.clock import Clock
    from agent_service.core.messages import Query
    from agent_service.core.observer import Observer
    from agent_service.core.stream_events import StreamEvent
    from agent_service.runtime.base import Answering
    from agent_service.runtime.streams.base import Presentation

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Bounds of a stream.

    Attributes:
        buffer_bytes: what may wait for a reader, beyond what the connection holds.
    """

    buffer_bytes: int = 512 * 1024

    def __post_init__(self) -> None:
        if self.buffer_bytes < 1:
            raise ValueError("buffer_bytes must be at least 1")


class FollowedQuery:
    """One query and the reader of its events; see ``EventSource``.

    Args:
        reader: what waits to be read.
        goes_on: whether the run outlives its reader.
    """

    def __init__(self, reader: Reader, *, goes_on: bool) -> None:
        self.cut_off = reader.cut_off
        self.is_replay = False
        self.running: asyncio.Future[None] | None = None
        self._reader = reader
        self._goes_on = goes_on

    def __repr__(self) -> str:
        return f"<FollowedQuery {self._reader!r}>"

    async def take(self, wait_seconds: float) -> Sequence[StreamEvent]:
        """The events that follow; none when none came within ``wait_seconds``."""
        return await self._reader.take(wait_seconds)

    def leave(self) -> None:
        """Read no more; the run is stopped unless it is over or goes on."""
        self._reader.close()
        if self.running is not None and not self._goes_on:
            self.running.cancel()


class FollowedQueries:
    """Answers queries and tells of their steps meanwhile; see ``Following``.

    Args:
        answering: runs the queries.
        presentation: writes each stream's last event.
        clock: where time comes from.
        observer: told of readers that are cut off.
        options: bounds of a stream.
        keep: given a query whose turn is to be kept, who keeps its events; None when nobody does.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        presentation: Presentation,
        clock: Clock,
        observer: Observer,
        options: StreamOptions,
        keep: Callable[[Query], Callable[[StreamEvent], None]] | None = None,
    ) -> None:
        self._answering = answering
        self._presentation = presentation
        self._clock = clock
        self._observer = observer
        self._options = options
        self._keep = keep
        self._queries = OwnedTasks()

    def __repr__(self) -> str:
        return f"<FollowedQueries {self._queries!r}>"

    async def follow(self, query: Query, *, goes_on: bool) -> FollowedQuery:
        """See ``Following``."""
        reader = Reader(clock=self._clock, limit_bytes=self._options.buffer_bytes)
        reader.cut_off.add_done_callback(lambda _: self._tell_cut_off(query))
        keeping = () if self._keep is None or not query.is_kept else (self._keep(query),)
        feed = EventFeed(clock=self._clock, followers=(reader.put, *keeping))
        followed = FollowedQuery(reader, goes_on=goes_on)
        followed.running = running = self._queries.begin(self._run(query, feed, followed))
        try:
            await asyncio.wait({feed.begun, running}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            running.cancel()
            raise
        if not feed.begun.done():
            running.result()
        return followed

    async def ended(self, within_seconds: float) -> None:
        """Return when every stream has its last event, at the latest after ``within_seconds``."""
        ended = asyncio.ensure_future(self._queries.done())
        try:
            await wait_at_most(self._clock, within_seconds, ended)
        finally:
            ended.cancel()

    async def _run(self, query: Query, feed: EventFeed, followed: FollowedQuery) -> None:
        """Answer the query; what goes wrong before the first event is raised, later it is the last event."""
        try:
            answer = await self._answering.answer(query, feed)
        except asyncio.CancelledError:
            self._fail(feed, query, CancelledByCallerError())
            raise
        except ServiceError as error:
            self._fail(feed, query, error)
            if not feed.begun.done():
                raise
        except Exception as error:
            _log.exception("a followed query failed unexpectedly")
            self._fail(feed, query, InternalError())
            if not feed.begun.done():
                raise InternalError from error
        else:
            followed.is_replay = answer.replayed
            feed.succeed(answer.text, self._presentation.answer(answer))

    def _fail(self, feed: EventFeed, query: Query, error: ServiceError) -> None:
        if feed.begun.done():
            feed.fail(self._presentation.problem(error, query.request_id))

    def _tell_cut_off(self, query: Query) -> None:
        _log.warning("the reader of an event stream is too slow and is cut off")
        self._observer.observe(StreamCutOff(query.request_id))
