"""The adaptive limit: how many calls one upstream bears at once, found out from its own complaints.

Additive increase, multiplicative decrease (D. Chiu and R. Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance", 1989) as in ``AIMDLimit`` of Netflix/concurrency-limits: a drop
multiplies, a success adds one while at least half of the limit is in use. As in TCP (RFC 6582, 3.2) one
round of calls decreases once, and moves nothing after. Latency alone is no signal below
``slow_seconds``: that of a language model varies with the length of its answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.core.clock import Clock, Timer

    _TakeBack = Callable[["LimitPermit", "float | None", "float | None"], None]

_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """Between which bounds, and how fast.

    Attributes:
        maximum: calls in flight at most; the limit begins there and does nothing until there is a complaint.
        minimum: calls in flight that are always allowed.
        decrease_factor: what an overload multiplies the limit by.
        slow_seconds: a call that took longer counts as an overload, though it succeeded.
    """

    maximum: int = 256
    minimum: int = 1
    decrease_factor: float = 0.7
    slow_seconds: float = 20.0

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError("minimum must be at least 1 and at most maximum")
        if not 0 < self.decrease_factor < 1:
            raise ValueError("decrease_factor must be above 0 and below 1")
        if not self.slow_seconds > 0:
            raise ValueError("slow_seconds must be positive")


class LimitPermit:
    """Leave to make one call. Report exactly once how it ended, from any thread; later reports do nothing."""

    __slots__ = ("_report", "generation")

    def __init__(self, report: _TakeBack, generation: int) -> None:
        self.generation = generation
        self._report: _TakeBack | None = report

    def __repr__(self) -> str:
        return f"<LimitPermit of generation {self.generation}, {'in use' if self._report else 'reported'}>"

    def success(self, latency_seconds: float) -> None:
        """The upstream answered, after so long."""
        self._settle(latency_seconds, None)

    def overloaded(self, retry_after_seconds: float | None = None) -> None:
        """The upstream limits us or gave no answer in time; nothing is sent for ``retry_after_seconds``."""
        self._settle(None, retry_after_seconds or 0.0)

    def ignore(self) -> None:
        """The call says nothing of the upstream's load: it was cancelled, or failed otherwise."""
        self._settle(None, None)

    def _settle(self, latency_seconds: float | None, pause_seconds: float | None) -> None:
        """``pause_seconds`` is for an overload; without either, the call says nothing of the load."""
        report, self._report = self._report, None
        if report is not None:
            report(self, latency_seconds, pause_seconds)


class AdaptiveLimit:
    """Limits the calls in flight to one upstream.

    Callers wait on one event loop. ``try_acquire`` and reports are safe on any thread, since code that
    blocks that loop makes its calls from another.

    Args:
        options: the bounds.
        clock: only its monotonic time and its timers are used.
    """

    def __init__(self, options: LimitOptions, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = options.maximum
        self._in_flight = 0
        self._generation = 0
        self._paused_until_seconds = clock.monotonic()
        self._waiters: OrderedDict[asyncio.Future[LimitPermit], None] = OrderedDict()
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        pause_seconds = self.pause_remaining_seconds
        paused = f", paused for {pause_seconds:g} s" if pause_seconds else ""
        return f"<AdaptiveLimit {self._in_flight}/{self._limit} in flight, {self.waiting} waiting{paused}>"

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """Permits that are out. More than ``limit`` for a while after a decrease."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Callers who wait for a permit."""
        return len(self._waiters)

    @property
    def pause_remaining_seconds(self) -> float:
        """How long the upstream wants to be left alone, at most 60 s; 0 when it does not."""
        return max(0.0, self._paused_until_seconds - self._clock.monotonic())

    def try_acquire(self) -> LimitPermit | None:
        """A permit if there is one now and nobody waits for it, else None."""
        with self._lock:
            has_room = not self._waiters and self._has_room(self._clock.monotonic())
            return self._new_permit() if has_room else None

    async def acquire(self) -> LimitPermit:
        """Take a permit, first come, first served.

        The wait has no end of its own: cancel it. A caller that is cancelled leaves the line; a permit
        that it just got goes back.
        """
        waiter: asyncio.Future[LimitPermit] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiters[waiter] = None
        self._decide()
        try:
            return await waiter
        except BaseException:
            self._abandon(waiter)
            raise

    def _decide(self) -> None:
        """Who gets a permit, and when to look again. The only place where waiting callers are given one.

        Called on their event loop whenever one comes, a permit is back or a pause is over; never awaits.
        """
        with self._lock:
            now_seconds = self._clock.monotonic()  # once, or a pause could end between two looks, unseen
            while self._waiters and self._has_room(now_seconds):
                waiter, _ = self._waiters.popitem(last=False)
                if not waiter.done():  # cancelled, and its task did not run yet
                    waiter.set_result(self._new_permit())
            if self._timer is not None:
                self._timer.cancel()
            pause_seconds = self._paused_until_seconds - now_seconds if self._waiters else 0.0
            self._timer = self._clock.call_later(pause_seconds, self._decide) if pause_seconds > 0 else None

    def _has_room(self, now_seconds: float) -> bool:
        return self._in_flight < self._limit and self._paused_until_seconds <= now_seconds

    def _new_permit(self) -> LimitPermit:
        self._in_flight += 1
        return LimitPermit(self._take_back, self._generation)

    def _take_back(
        self, permit: LimitPermit, latency_seconds: float | None, pause_seconds: float | None
    ) -> None:
        with self._lock:
            self._learn(permit, latency_seconds, pause_seconds)
            self._in_flight -= 1
            waiter = next(iter(self._waiters), None)
        if waiter is not None:
            waiter.get_loop().call_soon_threadsafe(self._decide)

    def _learn(self, permit: LimitPermit, latency_seconds: float | None, pause_seconds: float | None) -> None:
        """Move the limit by what one call says; its permit still counts as in flight."""
        slow = latency_seconds is not None and latency_seconds > self._options.slow_seconds
        overloaded = pause_seconds is not None or slow
        if overloaded:
            self._pause(pause_seconds or 0.0)
        if permit.generation != self._generation:
            return  # sent before the last decrease, which has answered for that round
        if overloaded:
            self._generation += 1
            self._limit = max(self._options.minimum, int(self._limit * self._options.decrease_factor))
        elif latency_seconds is not None and self._in_flight * 2 >= self._limit:
            self._limit = min(self._options.maximum, self._limit + 1)

    def _pause(self, seconds: float) -> None:
        until_seconds = self._clock.monotonic() + min(seconds, _LONGEST_PAUSE_SECONDS)
        self._paused_until_seconds = max(self._paused_until_seconds, until_seconds)

    def _abandon(self, waiter: asyncio.Future[LimitPermit]) -> None:
        """The one who waited is gone."""
        with self._lock:
            self._waiters.pop(waiter, None)
        if waiter.done() and not waiter.cancelled():
            waiter.result().ignore()
