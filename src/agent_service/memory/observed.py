"""A store whose calls are bounded in time and told to the observer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from agent_service.core.clock import wait_at_most
from agent_service.core.observer import StoreOperationFinished
from agent_service.memory.base import unavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId, StoredTurn, Turn
    from agent_service.core.observer import Observer
    from agent_service.memory.base import ConversationStore, Page, Window

_T = TypeVar("_T")


class ObservedStore:
    """Decorates another store; keeps the same contract and adds an end to every wait.

    Each call that ends by itself or by the limit emits one ``StoreOperationFinished``; one whose caller
    was cancelled emits none. A call past the limit raises ``MemoryUnavailableError`` and is cancelled,
    except a commit, which goes on and is stored whole or not at all.

    Args:
        store: does the work.
        observer: told of each operation.
        clock: measures and limits.
        timeout_seconds: limit of one call. ``start`` and ``close`` have none: the lifecycle bounds them.
    """

    def __init__(
        self,
        store: ConversationStore,
        *,
        observer: Observer,
        clock: Clock,
        timeout_seconds: float = 1.0,
    ) -> None:
        self.backend = store.backend
        self._store = store
        self._observer = observer
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._calls: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<ObservedStore {len(self._calls)} calls on {self._store!r}>"

    async def start(self) -> None:
        """See ``ConversationStore``."""
        await self._store.start()

    async def close(self) -> None:
        """See ``ConversationStore``. Commits that outlasted their limit are finished by the store."""
        await self._store.close()
        if self._calls:
            await asyncio.wait(self._calls)

    async def ping(self) -> None:
        """See ``ConversationStore``."""
        await self._bounded("ping", self._store.ping())

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        """See ``ConversationStore``."""
        return await self._bounded("read", self._store.read(conversation, last_turns=last_turns))

    async def commit(self, conversation: ConversationId, turn: Turn, *, base_seq: int) -> StoredTurn:
        """See ``ConversationStore``. Goes on when its caller is cancelled or the limit passes."""
        work = self._store.commit(conversation, turn, base_seq=base_seq)
        return await self._bounded("commit", work, goes_on=True)

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """See ``ConversationStore``."""
        return await self._bounded("page", self._store.page(conversation, limit=limit, before_seq=before_seq))

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """See ``ConversationStore``."""
        return await self._bounded("erase", self._store.erase(user_id, session_id))

    async def _bounded(self, operation: str, work: Coroutine[Any, Any, _T], *, goes_on: bool = False) -> _T:
        began = self._clock.monotonic()
        call = asyncio.ensure_future(work)
        self._calls.add(call)
        call.add_done_callback(self._forget)
        try:
            await wait_at_most(self._clock, self._timeout_seconds, call)
        finally:
            if not goes_on:
                call.cancel()
        outcome = _outcome_of(call)
        latency_seconds = self._clock.monotonic() - began
        self._observer.observe(StoreOperationFinished("", self.backend, operation, outcome, latency_seconds))
        if outcome == "timeout":
            raise unavailable("The conversation store did not answer in time.")
        return call.result()

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # asyncio warns of one that nobody looked at; the caller was told of a timeout


def _outcome_of(call: asyncio.Task[Any]) -> str:
    if not call.done():
        return "timeout"
    return "error" if call.cancelled() or call.exception() is not None else "success"
