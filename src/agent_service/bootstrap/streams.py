"""The composition root's part for streams: who follows queries, keeps their events, reads them again."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent_service.api.streams.presentation import LastEvents
from agent_service.config import options as options_of
from agent_service.memory.event_log.in_memory import InMemoryEventLog
from agent_service.memory.event_log.sqlite import SqliteEventLog
from agent_service.runtime.streams.keeper import EventKeeper, KeeperOptions
from agent_service.runtime.streams.queries import FollowedQueries, StreamOptions
from agent_service.runtime.streams.resuming import KeptStreams, ResumeOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer
    from agent_service.memory.event_log.base import EventLog
    from agent_service.runtime.base import Answering

_LOG_CONNECTIONS = 16
_ENDING_SECONDS = 1.0
"""For the last events of streams, once the runs are over."""
_FLUSHING_SECONDS = 2.0


@dataclass(frozen=True)
class Streams:
    """What belongs to streams, wired; nothing is opened before ``start``."""

    log: EventLog
    keeper: EventKeeper
    resuming: KeptStreams
    settings: Settings
    clock: Clock
    observer: Observer

    def following(self, answering: Answering) -> FollowedQueries:
        """The followed side of ``answering``; its events are kept where the settings want it."""
        return FollowedQueries(
            answering=answering,
            presentation=LastEvents(),
            clock=self.clock,
            observer=self.observer,
            options=StreamOptions(),
            keep=self.keeper.keep if self.settings.stream_resume_secs else None,
        )

    @asynccontextmanager
    async def closing(self, following: FollowedQueries) -> AsyncIterator[None]:
        """Left when the runs are over: what they told is kept, then the log closes."""
        try:
            yield
        finally:
            await following.ended(_ENDING_SECONDS)
            await self.keeper.flushed(_FLUSHING_SECONDS)
            await self.log.close()


def streams(settings: Settings, *, clock: Clock, observer: Observer) -> Streams:
    """Wire the streams that ``settings`` describe."""
    log = _log(settings, clock)
    keeper = EventKeeper(log=log, presentation=LastEvents(), clock=clock, options=KeeperOptions())
    silence_seconds = options_of.longest_run_seconds(settings)
    resuming = KeptStreams(log=log, clock=clock, options=ResumeOptions(silence_seconds))
    return Streams(log, keeper, resuming, settings, clock, observer)


def _log(settings: Settings, clock: Clock) -> EventLog:
    """Where the conversations are; in memory when nothing is kept."""
    options = options_of.event_log_options(settings)
    redis_options = options_of.redis_options(settings)
    if not settings.stream_resume_secs:
        return InMemoryEventLog(options, clock=clock)
    if redis_options is not None:
        from agent_service.memory.event_log.redis import RedisEventLog  # noqa: PLC0415 - takes long to import

        few = replace(redis_options, max_connections=_LOG_CONNECTIONS, wait_replicas=0)
        return RedisEventLog(options, few, clock=clock)
    return SqliteEventLog(options, settings.memory_path, clock=clock)
