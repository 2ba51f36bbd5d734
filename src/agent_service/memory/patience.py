"""Waits that are all bounded by the same span, however many there are: one timer serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from agent_service.core.clock import Clock, Timer


class Patience:
    """Ends waits, each of them after the same span. For one event loop.

    Who begins to wait first is also out of patience first, so only the oldest wait needs a timer.

    Args:
        clock: measures the waits.
        seconds: how long each may take.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waits: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Patience of {self._seconds} s for {len(self._waits)}>"

    def begin(self, wait: Hashable, give_up: Callable[[], None]) -> None:
        """Call ``give_up`` when the span is over, unless ``wait`` has ended by then."""
        self._waits[wait] = (self._clock.monotonic() + self._seconds, give_up)
        if self._timer is None:
            self._watch()

    def end(self, wait: Hashable) -> None:
        """The wait is over; harmless when it was before."""
        self._waits.pop(wait, None)
        if not self._waits and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        """See to it that the oldest wait has a timer."""
        if self._timer is None and self._waits:
            until_seconds, _ = next(iter(self._waits.values()))
            delay_seconds = max(0.0, until_seconds - self._clock.monotonic())
            self._timer = self._clock.call_later(delay_seconds, self._end_overdue)

    def _end_overdue(self) -> None:
        self._timer = None
        now_seconds = self._clock.monotonic()
        for wait, (until_seconds, give_up) in list(self._waits.items()):
            if until_seconds > now_seconds:
                break
            del self._waits[wait]
            give_up()
        self._watch()
