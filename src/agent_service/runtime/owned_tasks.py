"""Tasks that belong to the service: they end when their work ends, whoever listens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


class OwnedTasks:
    """Keeps tasks until they are done. Their outcome is for whoever waits, and nobody need to."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def __repr__(self) -> str:
        return f"<OwnedTasks {len(self._tasks)} under way>"

    def begin(self, work: Awaitable[T]) -> asyncio.Future[T]:
        """Start ``work``; cancelling whoever called this does not touch it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def done(self) -> None:
        """Return when no task is left, those included that begin meanwhile."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _forget(self, task: asyncio.Future[Any]) -> None:
        """Look at the outcome, so that it is not reported as forgotten."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
