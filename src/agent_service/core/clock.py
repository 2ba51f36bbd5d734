"""Time as a value that is handed in, and the deadline made from it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """A call that was scheduled."""

    def cancel(self) -> None:
        """Do not make the call. Harmless when it was made already."""


class Clock(Protocol):
    """The only source of time in the service."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back, whatever the wall clock does."""

    def wall(self) -> float:
        """Seconds since the Unix epoch. For records and people, never for waiting."""

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the event loop after ``delay_seconds``. Needs a running loop."""


class SystemClock:
    """The machine's clocks and the running event loop's timers."""

    monotonic = staticmethod(time.monotonic)

    def wall(self) -> float:
        """Seconds of ``time.time``."""
        return time.time()

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> Timer:
        """Schedule on the running loop."""
        return asyncio.get_running_loop().call_later(delay_seconds, callback)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait ``seconds`` of this clock. Cancellation ends the wait and its timer."""
    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_later(max(0.0, seconds), lambda: None if woken.done() else woken.set_result(None))
    try:
        await woken
    finally:
        timer.cancel()


async def wait_at_most(clock: Clock, seconds: float, *futures: asyncio.Future[Any]) -> bool:
    """Wait until any of ``futures`` is done, or for ``seconds`` of this clock; whether one of them is done.

    Touches no future: what is late goes on. Cancellation ends the wait and its timer.
    """
    if any(future.done() for future in futures):
        return True
    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    for future in futures:
        future.add_done_callback(wake)
    timer = clock.call_later(seconds, wake)
    try:
        await woken
    finally:
        timer.cancel()
        for future in futures:
            future.remove_done_callback(wake)
    return any(future.done() for future in futures)


async def first_of(*futures: asyncio.Future[Any]) -> None:
    """Wait until any of ``futures`` is done: ``asyncio.wait`` for the path of every query, where it counts.

    Touches none of them. They stay unchanged by a cancellation, too.
    """
    if any(future.done() for future in futures):
        return
    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not woken.done():
            woken.set_result(None)

    for future in futures:
        future.add_done_callback(wake)
    try:
        await woken
    finally:
        for future in futures:
            future.remove_done_callback(wake)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on a monotonic clock by which something must be over."""

    at_seconds: float
    clock: Clock

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(clock.monotonic() + seconds, clock)

    def remaining_seconds(self) -> float:
        """What is left, never below zero."""
        return max(0.0, self.at_seconds - self.clock.monotonic())

    def passed(self) -> bool:
        """Whether the point lies behind us."""
        return self.clock.monotonic() >= self.at_seconds

    def earlier_by(self, seconds: float) -> Deadline:
        """A deadline that leaves ``seconds`` in reserve before this one."""
        return Deadline(self.at_seconds - seconds, self.clock)
