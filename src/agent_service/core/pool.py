"""The pool: a bounded number of leases, a bounded queue before them, and a bounded wait in it.

How many requests are in flight is decided here and nowhere else. The refusal is cheap, early and honest:
who can expect no slot in time does not wait for it, and is told when there will be one. The size and
that expectation follow from Little's law (in flight = rate x duration).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from agent_service.core.errors import (
    DeadlineExceededError,
    PoolExhaustedError,
    ServiceError,
    ShuttingDownError,
)
from agent_service.core.waiting_line import WaitingLine

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from agent_service.core.clock import Clock, Deadline

_RECENT_LEASES = 32
_LEASES_TO_JUDGE_BY = 5
_DRAIN_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How much at once.

    Attributes:
        size: leases out at the same time.
        queue_limit: requests that may wait for one; 0 means that nobody waits.
        wait_seconds: how long each of them may wait.
        per_principal: leases that one principal may have out; above it, it waits though slots are free.
    """

    size: int = 64
    queue_limit: int = 64
    wait_seconds: float = 2.0
    per_principal: int | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be at least 1")
        if self.queue_limit < 0:
            raise ValueError("queue_limit must not be negative")
        if not 0 <= self.wait_seconds < math.inf:
            raise ValueError("wait_seconds must be finite and not negative")
        if self.per_principal is not None and self.per_principal < 1:
            raise ValueError("per_principal must be at least 1")


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment. ``refused_total`` counts every request that got an error instead of a lease."""

    size: int
    in_use: int
    waiting: int
    refused_total: int


class Lease:
    """A slot of the pool, held until it is released. As a context manager it releases on leaving."""

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def __repr__(self) -> str:
        return f"<Lease {'held' if self._give_back else 'released'}>"

    def __enter__(self) -> Lease:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the slot back; again does nothing. Call it on the service's event loop."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class _Waiter:
    """A request between its entering and its answer, which is a lease or the error to raise."""

    __slots__ = ("answer", "deadline", "principal")

    def __init__(self, deadline: Deadline, principal: str) -> None:
        self.deadline = deadline
        self.principal = principal
        self.answer: asyncio.Future[Lease | ServiceError] = asyncio.get_running_loop().create_future()


class Pool:
    """Gives leases fairly: whose principal has the fewest goes first. For one event loop.

    Args:
        options: the bounds.
        clock: where time comes from.
    """

    def __init__(self, options: PoolOptions, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._in_use = 0
        self._line: WaitingLine[_Waiter] = WaitingLine(per_principal=options.per_principal)
        self._draining = False
        self._refused_total = 0
        self._recent_seconds: deque[float] = deque(maxlen=_RECENT_LEASES)
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        draining = ", draining" if self._draining else ""
        return f"<Pool {self._in_use}/{self._options.size} in use, {len(self._line)} waiting{draining}>"

    @property
    def stats(self) -> PoolStats:
        """How full it is now."""
        return PoolStats(self._options.size, self._in_use, len(self._line), self._refused_total)

    @property
    def usable(self) -> bool:
        """Whether leases are given at all: true until ``drain``, however busy the pool is."""
        return not self._draining

    async def lease(self, deadline: Deadline, *, principal: str = "") -> Lease:
        """Take a slot for ``principal``, waiting at most ``wait_seconds`` and never past ``deadline``.

        Slots go to the principal with the fewest leases out, within it and between equals to who came
        first. A queue that is full gives up the newest of the principal with most waiting. A caller that
        is cancelled while it waits leaves the queue; a slot it just got goes back.

        Raises:
            PoolExhaustedError: the queue is full, the wait was too long, or by the recent leases it would
                be; says when to come back.
            DeadlineExceededError: the deadline passed.
            ShuttingDownError: the pool drains.
        """
        answer = await self._answer_to(deadline, principal)
        if isinstance(answer, Lease):
            return answer
        try:
            raise answer
        finally:
            del answer  # or each refusal and its traceback would keep each other alive

    def drain(self) -> None:
        """Refuse everybody from now on, those who wait included. Leases that are out stay valid."""
        self._draining = True
        self._decide()

    async def idle(self) -> None:
        """Return when no lease is out."""
        await self._empty.wait()

    async def _answer_to(self, deadline: Deadline, principal: str) -> Lease | ServiceError:
        if self.usable and deadline.passed():
            self._refused_total += 1
            return DeadlineExceededError()
        if self.usable and self._is_idle():
            return self._lend(principal)
        waiter = _Waiter(deadline, principal)
        self._line.join(waiter)
        self._decide(waiter)
        return waiter.answer.result() if waiter.answer.done() else await self._wait(waiter)

    def _is_idle(self) -> bool:
        """Whether whoever comes gets a slot, without a look at the line."""
        return not self._line and self._in_use < self._options.size and self._options.per_principal is None

    async def _wait(self, waiter: _Waiter) -> Lease | ServiceError:
        """Wait for the answer; whatever else ends the wait, the place in the queue or the slot goes back."""
        until_deadline, patience = waiter.deadline.remaining_seconds(), self._options.wait_seconds
        error: Callable[[], ServiceError] = (
            DeadlineExceededError if until_deadline <= patience else partial(self._exhausted, waiter)
        )
        timer = self._clock.call_later(min(until_deadline, patience), partial(self._expire, waiter, error))
        try:
            return await waiter.answer
        except BaseException:
            self._abandon(waiter)
            raise
        finally:
            timer.cancel()

    def _decide(self, newcomer: _Waiter | None = None) -> None:
        """Who gets a slot, who is refused, who waits on. The only place where slots and places are given.

        Called whenever a request enters or a slot is free; it never awaits.
        """
        while self._draining and (waiter := self._line.last()):
            self._refuse(waiter, ShuttingDownError(retry_after_seconds=_DRAIN_RETRY_AFTER_SECONDS))
        while self._in_use < self._options.size and (waiter := self._line.first()):
            if waiter.deadline.passed():
                self._refuse(waiter, DeadlineExceededError())
            else:
                self._grant(waiter)
        if newcomer is not None and self._waits_in_vain(newcomer):
            self._refuse(newcomer, self._exhausted(newcomer))
        while len(self._line) > self._options.queue_limit and (waiter := self._line.last()):
            self._refuse(waiter, self._exhausted(waiter))

    def _waits_in_vain(self, waiter: _Waiter) -> bool:
        """Whether no slot can be expected for the newest in line in the time it has."""
        if waiter.answer.done() or len(self._recent_seconds) < _LEASES_TO_JUDGE_BY:
            return False
        patience_seconds = min(waiter.deadline.remaining_seconds(), self._options.wait_seconds)
        return self._expected_seconds(waiter) > patience_seconds

    def _expected_seconds(self, waiter: _Waiter) -> float:
        """The expected wait of one who comes now: the place in the line x duration / slots."""
        duration_seconds = median(self._recent_seconds) if self._recent_seconds else 0.0
        return self._line.wait_in_leases(waiter.principal, self._options.size) * duration_seconds

    def _exhausted(self, waiter: _Waiter) -> PoolExhaustedError:
        """The refusal of one who is in the line still, with the expected wait of one who comes now."""
        expected_seconds = self._expected_seconds(waiter)
        return PoolExhaustedError(retry_after_seconds=float(max(1, math.ceil(expected_seconds))))

    def _expire(self, waiter: _Waiter, error: Callable[[], ServiceError]) -> None:
        """The wait is over without a slot."""
        if not waiter.answer.done():
            self._refuse(waiter, error())

    def _abandon(self, waiter: _Waiter) -> None:
        """The one who waited is gone."""
        self._line.leave(waiter)
        answer = waiter.answer
        if answer.done() and not answer.cancelled() and isinstance(lease := answer.result(), Lease):
            lease.release()

    def _refuse(self, waiter: _Waiter, error: ServiceError) -> None:
        """Answer with ``error``, unless the waiter was cancelled and its task did not run yet."""
        self._line.leave(waiter)
        if not waiter.answer.done():
            self._refused_total += 1
            waiter.answer.set_result(error)

    def _grant(self, waiter: _Waiter) -> None:
        """Answer with a lease, unless the waiter was cancelled and its task did not run yet."""
        self._line.leave(waiter)
        if not waiter.answer.done():
            waiter.answer.set_result(self._lend(waiter.principal))

    def _lend(self, principal: str) -> Lease:
        self._in_use += 1
        self._empty.clear()
        self._line.lend(principal)
        return Lease(partial(self._take_back, principal, self._clock.monotonic()))

    def _take_back(self, principal: str, since_seconds: float) -> None:
        self._in_use -= 1
        self._line.give_back(principal)
        self._recent_seconds.append(self._clock.monotonic() - since_seconds)
        self._decide()
        if self._in_use == 0:
            self._empty.set()
