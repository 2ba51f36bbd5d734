"""A store whose calls are bounded in time, refused while it fails, and told to the observer."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from agent_service.core.breaker import BreakerOptions
from agent_service.core.errors import CircuitBreakerOpenError
from agent_service.core.observer import StoreOperationFinished
from agent_service.memory.base import RecordUnusableError, unavailable
from agent_service.memory.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.breaker import Breaker, Permit
    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId, StoredTurn, Turn
    from agent_service.core.observer import Observer
    from agent_service.memory.base import (
        Claim,
        ConversationStore,
        IdempotencyKey,
        Page,
        SessionInfo,
        Window,
    )

_T = TypeVar("_T")


def breaker_options(timeout_seconds: float) -> BreakerOptions:
    """When calls are refused: soon, and not for long, because a store that is back is back at once."""
    return BreakerOptions(
        failure_threshold=5,
        open_seconds=1.0,
        window_seconds=10.0,
        slow_call_seconds=timeout_seconds,
        half_open_probes=1,
        probe_lease_seconds=2 * timeout_seconds,
        max_backoff_factor=2.0,
    )


class ObservedStore:
    """Decorates another store; keeps the same contract and adds an end to every wait.

    While the breaker is open, calls are refused at once, so that queries do not wait for a store that is
    dead. Not so the calls that finish what was begun (``commit``, ``give_turn``, ``finish``, ``abandon``):
    each of them is worth the wait. A conversation or record that cannot be used says nothing of the store.

    Each call that ends by itself or by the limit emits one ``StoreOperationFinished``; one whose caller
    was cancelled emits none. A call past the limit raises ``MemoryUnavailableError`` and is cancelled,
    except a commit, which goes on and is stored whole or not at all.

    Args:
        store: does the work.
        observer: told of each operation.
        clock: measures and limits.
        breaker: opens when calls fail or take too long.
        timeout_seconds: limit of one call. ``start`` and ``close`` have none: the lifecycle bounds them.
    """

    def __init__(
        self,
        store: ConversationStore,
        *,
        observer: Observer,
        clock: Clock,
        breaker: Breaker,
        timeout_seconds: float = 1.0,
    ) -> None:
        self.backend = store.backend
        self._store = store
        self._observer = observer
        self._clock = clock
        self._breaker = breaker
        self._patience = Patience(clock, timeout_seconds)
        self._calls: set[asyncio.Future[Any]] = set()

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
        await self._bounded("ping", self._store.ping)

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        """See ``ConversationStore``."""
        return await self._bounded("read", partial(self._store.read, conversation, last_turns=last_turns))

    def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> asyncio.Future[StoredTurn]:
        """See ``ConversationStore``. Goes on when its caller is cancelled or the limit passes."""
        work = partial(self._store.commit, conversation, turn, base_seq=base_seq, token=token)
        return self._bounded("commit", work, goes_on=True)

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """See ``ConversationStore``."""
        return await self._bounded(
            "page", partial(self._store.page, conversation, limit=limit, before_seq=before_seq)
        )

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """See ``ConversationStore``."""
        return await self._bounded("erase", partial(self._store.erase, user_id, session_id))

    async def sessions(
        self, user_id: str, *, limit: int = 100, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """See ``ConversationStore``."""
        return await self._bounded(
            "sessions", partial(self._store.sessions, user_id, limit=limit, after=after)
        )

    def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> asyncio.Future[Window | None]:
        """See ``ConversationStore``."""
        work = partial(
            self._store.take_turn,
            conversation,
            token=token,
            ttl_seconds=ttl_seconds,
            last_turns=last_turns,
        )
        return self._bounded("take_turn", work)

    async def keep_turn(self, conversation: ConversationId, *, token: str, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        work = partial(self._store.keep_turn, conversation, token=token, ttl_seconds=ttl_seconds)
        return await self._bounded("keep_turn", work)

    async def give_turn(self, conversation: ConversationId, *, token: str) -> None:
        """See ``ConversationStore``. Goes on when its caller is cancelled or the limit passes."""
        work = partial(self._store.give_turn, conversation, token=token)
        await self._bounded("give_turn", work, goes_on=True)

    async def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> Claim:
        """See ``ConversationStore``."""
        work = partial(
            self._store.claim,
            key,
            fingerprint=fingerprint,
            turn_id=turn_id,
            ttl_seconds=ttl_seconds,
            running_ttl_seconds=running_ttl_seconds,
        )
        return await self._bounded("claim", work)

    async def finish(self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float) -> bool:
        """See ``ConversationStore``. Goes on when its caller is cancelled or the limit passes."""
        work = partial(self._store.finish, key, turn_id=turn_id, response=response, ttl_seconds=ttl_seconds)
        return await self._bounded("finish", work, goes_on=True)

    async def abandon(self, key: IdempotencyKey, *, turn_id: str) -> None:
        """See ``ConversationStore``. Goes on when its caller is cancelled or the limit passes."""
        await self._bounded("abandon", partial(self._store.abandon, key, turn_id=turn_id), goes_on=True)

    def _bounded(
        self, operation: str, work: Callable[[], Awaitable[_T]], *, goes_on: bool = False
    ) -> asyncio.Future[_T]:
        began_seconds = self._clock.monotonic()
        permit = self._ask(operation, always=goes_on)
        call = asyncio.ensure_future(work())
        outcome: asyncio.Future[_T] = call.get_loop().create_future()
        self._calls.add(call)
        here = copy_context()

        def end(how: str) -> None:
            self._patience.end(outcome)
            _report(permit, call, how)
            self._tell(operation, how, self._clock.monotonic() - began_seconds)

        def give_up() -> None:
            here.run(end, "timeout")  # the timer is that of whoever waits longest
            if not goes_on:
                call.cancel()
            outcome.set_exception(unavailable("The conversation store did not answer in time."))

        def pass_on(_: object) -> None:
            self._forget(call)
            if not outcome.done():
                end(_outcome_of(call))
                _settle(outcome, call)

        def leave(_: object) -> None:
            if not outcome.cancelled():
                return
            self._patience.end(outcome)
            if permit is not None:
                permit.ignore()
            if not goes_on:
                call.cancel()

        call.add_done_callback(pass_on)
        outcome.add_done_callback(leave)
        self._patience.begin(outcome, give_up)
        return outcome

    def _ask(self, operation: str, *, always: bool) -> Permit | None:
        """Leave for one call; a call that is made all the same while the breaker is open reports nothing."""
        try:
            return self._breaker.ask()
        except CircuitBreakerOpenError as refusal:
            if always:
                return None
            self._tell(operation, "refused", 0.0)
            error = unavailable("The conversation store is failing and is given a rest.", refusal)
            error.retry_after_seconds = refusal.retry_after_seconds
            raise error from refusal

    def _tell(self, operation: str, outcome: str, latency_seconds: float) -> None:
        self._observer.observe(StoreOperationFinished("", self.backend, operation, outcome, latency_seconds))

    def _forget(self, call: asyncio.Future[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # asyncio warns of one that nobody looked at; the caller was told of a timeout


def _outcome_of(call: asyncio.Future[Any]) -> str:
    return "error" if call.cancelled() or call.exception() is not None else "success"


def _report(permit: Permit | None, call: asyncio.Future[Any], outcome: str) -> None:
    if permit is None:
        return
    error = call.exception() if outcome == "error" and not call.cancelled() else None
    if outcome == "success" or isinstance(error, RecordUnusableError):
        permit.success()
    else:
        permit.failure()


def _settle(outcome: asyncio.Future[_T], call: asyncio.Future[_T]) -> None:
    """Pass on what became of the call."""
    if call.cancelled():
        outcome.cancel()
    elif (error := call.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(call.result())
