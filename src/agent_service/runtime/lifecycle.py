"""The life of the service: start in order, unwind in reverse; alive, ready and draining are three answers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

from agent_service.core.clock import wait_at_most

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from agent_service.core.clock import Clock
    from agent_service.memory.base import ConversationStore
    from agent_service.programs.served import ServedPrograms
    from agent_service.runtime.runner import Runner

_log = logging.getLogger(__name__)

WIND_DOWN_SECONDS = 5.0
"""For stopped queries to end and for turns on their way to be stored, before the parts are closed."""


class Phase(Enum):
    """Where the process is in its life; it never goes back."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Lifecycle:
    """Starts and stops the parts. ``background`` runs for as long as the service does."""

    def __init__(
        self,
        *,
        store: ConversationStore,
        programs: ServedPrograms,
        runner: Runner,
        clock: Clock,
        background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self.phase = Phase.STARTING
        self._store = store
        self._programs = programs
        self._runner = runner
        self._clock = clock
        self._background = background

    def __repr__(self) -> str:
        return f"<Lifecycle {self.phase.value}>"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within, everything is started; after, stopped in reverse, also when a later part cannot start."""
        async with AsyncExitStack() as stack:
            stack.callback(self._enter, Phase.STOPPED)
            stack.push_async_callback(self._store.close)
            await self._store.start()
            stack.push_async_callback(self._programs.close)
            await self._programs.start()
            for work in self._background:
                stack.push_async_callback(_end, _started(work))
            stack.push_async_callback(self._wind_down)
            self._enter(Phase.READY)
            yield

    def withdraw(self) -> None:
        """Not ready any more, but answer queries as before."""
        self._enter(Phase.DRAINING)

    def begin_drain(self) -> None:
        """Not ready any more; new queries are refused, those in flight go on."""
        self._enter(Phase.DRAINING)
        self._runner.drain()

    async def drained(self, grace_seconds: float) -> None:
        """Return when no query is in flight, at the latest after ``grace_seconds``.

        Queries that are left then, or when the call is cancelled, are stopped: their callers are told.
        """
        try:
            await self._at_most(grace_seconds, self._runner.drained())
        finally:
            self._runner.stop_all()

    async def _wind_down(self) -> None:
        """Whatever is still in flight is stopped; what was answered is stored."""
        self.begin_drain()
        self._runner.stop_all()
        if not await self._at_most(WIND_DOWN_SECONDS, self._runner.stored()):
            _log.error("stopping although queries have not ended: %r", self._runner)

    async def _at_most(self, limit_seconds: float, work: Coroutine[Any, Any, None]) -> bool:
        """Whether ``work`` was done within ``limit_seconds``; it is cancelled otherwise."""
        working = asyncio.ensure_future(work)
        try:
            return await wait_at_most(self._clock, limit_seconds, working)
        finally:
            working.cancel()

    def _enter(self, phase: Phase) -> None:
        life = list(Phase)
        if life.index(phase) > life.index(self.phase):
            self.phase = phase
            _log.info("the service is %s", phase.value)


def _started(work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work())
    task.add_done_callback(_tell_of_failure)
    return task


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    """Nobody waits for background work: that it failed is told when it does, and ends nothing else."""
    if not task.cancelled() and task.exception() is not None:
        _log.error("background work failed", exc_info=task.exception())


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
