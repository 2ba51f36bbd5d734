"""Waits that are all bounded by the same span, however many there are: one timer serves them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_service.core.clock import Clock, Timer


class Patience:
    """Waits for futures, for each of them equally long at most. For one event loop.

    Who begins to wait first is also out of patience first, so only the oldest wait needs a timer.

    Args:
        clock: measures the waits.
        seconds: how long each may take.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waits: dict[asyncio.Future[None], float] = {}
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Patience of {self._seconds} s for {len(self._waits)}>"

    async def wait(self, call: asyncio.Future[Any]) -> None:
        """Return when ``call`` is done or the span is over. Touches nothing: what is late goes on."""
        if call.done():
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object) -> None:
            if not woken.done():
                woken.set_result(None)

        self._waits[woken] = self._clock.monotonic() + self._seconds
        self._watch()
        call.add_done_callback(wake)
        try:
            await woken
        finally:
            call.remove_done_callback(wake)
            self._forget(woken)

    def _watch(self) -> None:
        """See to it that the oldest wait has a timer."""
        if self._timer is None and self._waits:
            until_seconds = next(iter(self._waits.values()))
            delay_seconds = max(0.0, until_seconds - self._clock.monotonic())
            self._timer = self._clock.call_later(delay_seconds, self._end_overdue)

    def _end_overdue(self) -> None:
        self._timer = None
        now_seconds = self._clock.monotonic()
        for woken, until_seconds in list(self._waits.items()):
            if until_seconds > now_seconds:
                break
            del self._waits[woken]
            if not woken.done():
                woken.set_result(None)
        self._watch()

    def _forget(self, woken: asyncio.Future[None]) -> None:
        self._waits.pop(woken, None)
        if not self._waits and self._timer is not None:
            self._timer.cancel()
            self._timer = None
