"""Which queries are in flight, whose they are, and how an erasure gets them out of its way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_service.core.run import StopReason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from agent_service.core.messages import ConversationId
    from agent_service.core.run import Run

    Commits = set[asyncio.Future[Any]]


class InFlight:
    """Runs by what they have: a caller who waits, a slot, a turn on its way to the store.

    For one event loop; every change is one synchronous step.
    """

    def __init__(self) -> None:
        self.waited_for: set[Run] = set()
        self._holding: dict[Run, ConversationId] = {}
        self._commits: dict[asyncio.Future[Any], ConversationId] = {}
        self._erasures: list[tuple[str, str | None]] = []

    def __repr__(self) -> str:
        return f"<InFlight {len(self.waited_for)} in flight, {self.abandoned} abandoned>"

    @property
    def abandoned(self) -> int:
        """Slots held by work that no caller waits for: threads, programs that heed no stop, late commits."""
        return len(self._holding.keys() - self.waited_for)

    def hold(self, run: Run, conversation: ConversationId) -> None:
        """``run`` has a slot from now on. It is stopped when its conversation is just being erased."""
        self._holding[run] = conversation
        if any(_covers(erasure, conversation) for erasure in self._erasures):
            run.stop(StopReason.ERASED)

    def release(self, run: Run) -> None:
        """``run`` has no slot any more."""
        self._holding.pop(run, None)

    def commits(self, commit: asyncio.Future[Any], conversation: ConversationId) -> None:
        """``commit`` stores a turn of ``conversation``."""
        self._commits[commit] = conversation
        commit.add_done_callback(self._commits.pop)

    @contextmanager
    def erasing(self, user_id: str, session_id: str | None) -> Iterator[Commits]:
        """Within, no query comes to know the user's conversation, or any of the user's without a session.

        Runs that may know it are stopped; those that cannot be stopped any more are being stored: their
        commits are what the context manager gives.
        """
        erasure = (user_id, session_id)
        self._erasures.append(erasure)
        try:
            for run, conversation in self._holding.items():
                if _covers(erasure, conversation):
                    run.stop(StopReason.ERASED)
            yield {task for task, conversation in self._commits.items() if _covers(erasure, conversation)}
        finally:
            self._erasures.remove(erasure)


def _covers(erasure: tuple[str, str | None], conversation: ConversationId) -> bool:
    user_id, session_id = erasure
    return user_id == conversation.user_id and session_id in {None, conversation.session_id}
