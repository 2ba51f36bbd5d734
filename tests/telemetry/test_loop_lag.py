from __future__ import annotations

import asyncio
import contextlib

import pytest

from agent_service.core.observer import LoopLagMeasured
from agent_service.telemetry.loop_lag import LoopLagMeter
from agent_service.testing import FakeClock, RecordingObserver


async def _turns_of_the_loop() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_lag_is_how_much_later_than_due_the_loop_came_back() -> None:
    """A tick in time has no lag; one that comes late has what it is late, and does not shift the next."""
    clock, heard = FakeClock(), RecordingObserver()
    task = asyncio.create_task(LoopLagMeter(clock=clock, observer=heard, interval_seconds=0.5).run())
    await _turns_of_the_loop()
    for passed_seconds in (0.5, 0.7, 0.5):
        clock.advance(passed_seconds)
        await _turns_of_the_loop()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert [event.lag_seconds for event in heard.of(LoopLagMeasured)] == pytest.approx([0.0, 0.2, 0.0])
