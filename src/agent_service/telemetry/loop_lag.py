"""How late the event loop is: the first sign of work that blocks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.clock import sleep
from agent_service.core.observer import LoopLagMeasured

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer


class LoopLagMeter:
    """Sets an alarm every ``interval_seconds`` and tells by how many seconds it rang late."""

    def __init__(self, *, clock: Clock, observer: Observer, interval_seconds: float = 0.5) -> None:
        self._clock = clock
        self._observer = observer
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Measure until cancelled, with a ``LoopLagMeasured`` at each tick."""
        while True:
            due_at_seconds = self._clock.monotonic() + self._interval_seconds
            await sleep(self._clock, self._interval_seconds)
            late_seconds = max(0.0, self._clock.monotonic() - due_at_seconds)
            self._observer.observe(LoopLagMeasured(request_id="", lag_seconds=late_seconds))
