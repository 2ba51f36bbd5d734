"""The pool: a bounded number of leases, a bounded queue before them, and a bounded wait in it.

How many requests are in flight is decided here and nowhere else. The refusal is cheap and honest:
it says when a slot can be expected. The size follows from Little's law (in flight = rate x duration).
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from agent_service.core.clock import Clock, Deadline

_RECENT_LEASES = 32
_DRAIN_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How much at once.

    Attributes:
        size: leases out at the same time.
        queue_limit: requests that may wait for one; 0 means that nobody waits.
        wait_seconds: how long each of them may wait.
    """

    size: int = 64
    queue_limit: int = 64
    wait_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be at least 1")
        if self.queue_limit < 0:
            raise ValueError("queue_limit must not be negative")
        if not 0 <= self.wait_seconds < math.inf:
            raise ValueError("wait_seconds must be finite and not negative")


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

    __slots__ = ("answer", "deadline")

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.answer: asyncio.Future[Lease | ServiceError] = asyncio.get_running_loop().create_future()


class Pool:
    """Gives leases in the order of asking. For one event loop.

    Args:
        options: the bounds.
        clock: where time comes from.
    """

    def __init__(self, options: PoolOptions, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._in_use = 0
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._draining = False
        self._refused_total = 0
        self._recent_seconds: deque[float] = deque(maxlen=_RECENT_LEASES)
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        draining = ", draining" if self._draining else ""
        return f"<Pool {self._in_use}/{self._options.size} in use, {len(self._queue)} waiting{draining}>"

    @property
    def stats(self) -> PoolStats:
        """How full it is now."""
        return PoolStats(self._options.size, self._in_use, len(self._queue), self._refused_total)

    @property
    def usable(self) -> bool:
        """Whether leases are given at all: true until ``drain``, however busy the pool is."""
        return not self._draining

    async def lease(self, deadline: Deadline) -> Lease:
        """Take a slot, waiting at most ``wait_seconds`` and never past ``deadline``.

        A caller that is cancelled while it waits leaves the queue; a slot it just got goes back.

        Raises:
            PoolExhaustedError: the queue is full, or the wait was too long; says when to come back.
            DeadlineExceededError: the deadline passed.
            ShuttingDownError: the pool drains.
        """
        answer = await self._answer_to(deadline)
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

    async def _answer_to(self, deadline: Deadline) -> Lease | ServiceError:
        if self.usable and deadline.passed():
            self._refused_total += 1
            return DeadlineExceededError()
        waiter = _Waiter(deadline)
        self._queue[waiter] = None
        self._decide()
        return waiter.answer.result() if waiter.answer.done() else await self._wait(waiter)

    async def _wait(self, waiter: _Waiter) -> Lease | ServiceError:
        """Wait for the answer; whatever else ends the wait, the place in the queue or the slot goes back."""
        until_deadline, patience = waiter.deadline.remaining_seconds(), self._options.wait_seconds
        error: Callable[[], ServiceError] = (
            DeadlineExceededError if until_deadline <= patience else self._exhausted
        )
        timer = self._clock.call_later(min(until_deadline, patience), partial(self._expire, waiter, error))
        try:
            return await waiter.answer
        except BaseException:
            self._abandon(waiter)
            raise
        finally:
            timer.cancel()

    def _decide(self) -> None:
        """Who gets a slot, who is refused, who waits on. The only place where slots and places are given.

        Called whenever a request enters or a slot is free; it never awaits.
        """
        while self._queue and (self._draining or self._in_use < self._options.size):
            waiter, _ = self._queue.popitem(last=False)
            if waiter.answer.done():
                continue  # cancelled, and its task did not run yet
            if self._draining:
                self._refuse(waiter, ShuttingDownError(retry_after_seconds=_DRAIN_RETRY_AFTER_SECONDS))
            elif waiter.deadline.passed():
                self._refuse(waiter, DeadlineExceededError())
            else:
                waiter.answer.set_result(self._new_lease())
        while len(self._queue) > self._options.queue_limit:
            waiter, _ = self._queue.popitem()
            self._refuse(waiter, self._exhausted())

    def _expire(self, waiter: _Waiter, error: Callable[[], ServiceError]) -> None:
        """The wait is over without a slot."""
        if not waiter.answer.done():
            del self._queue[waiter]
            self._refuse(waiter, error())

    def _abandon(self, waiter: _Waiter) -> None:
        """The one who waited is gone."""
        self._queue.pop(waiter, None)
        answer = waiter.answer
        if answer.done() and not answer.cancelled() and isinstance(lease := answer.result(), Lease):
            lease.release()

    def _refuse(self, waiter: _Waiter, error: ServiceError) -> None:
        self._refused_total += 1
        waiter.answer.set_result(error)

    def _exhausted(self) -> PoolExhaustedError:
        """The refusal with the expected wait of one more in the queue: its length x duration / slots."""
        duration_seconds = median(self._recent_seconds) if self._recent_seconds else 0.0
        expected_seconds = (len(self._queue) + 1) * duration_seconds / self._options.size
        return PoolExhaustedError(retry_after_seconds=float(max(1, math.ceil(expected_seconds))))

    def _new_lease(self) -> Lease:
        self._in_use += 1
        self._empty.clear()
        return Lease(partial(self._take_back, self._clock.monotonic()))

    def _take_back(self, since_seconds: float) -> None:
        self._in_use -= 1
        self._recent_seconds.append(self._clock.monotonic() - since_seconds)
        self._decide()
        if self._in_use == 0:
            self._empty.set()
