"""Waits of one span, and the one timer that serves them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.memory.patience import Patience

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


@pytest.fixture
def patience(clock: FakeClock) -> Patience:
    """Of one second."""
    return Patience(clock, 1.0)


def _call() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


async def _begin(patience: Patience, call: asyncio.Future[Any]) -> asyncio.Task[None]:
    waiting = asyncio.create_task(patience.wait(call))
    await asyncio.sleep(0)
    return waiting


async def test_a_wait_ends_with_its_call(patience: Patience, clock: FakeClock) -> None:
    """With a failed one too, and leaves no timer; what was done before needs no wait."""
    call = _call()
    waiting = await _begin(patience, call)
    call.set_exception(ValueError("for whoever asks the call"))
    await waiting
    await patience.wait(call)

    assert isinstance(call.exception(), ValueError)
    assert clock.pending == 0
    assert repr(patience) == "<Patience of 1.0 s for 0>"


async def test_each_wait_has_its_own_end(patience: Patience, clock: FakeClock) -> None:
    """One timer at a time ends each wait when its own span is over, and touches no call."""
    calls = [_call() for _ in range(3)]
    waits = []
    for call in calls:
        waits.append(await _begin(patience, call))
        clock.advance(0.25)
    assert clock.pending == 1

    ended = []
    for _ in range(4):
        clock.advance(0.25)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ended.append(sum(wait.done() for wait in waits))

    assert ended == [1, 2, 3, 3]
    assert not any(call.done() for call in calls)
    assert clock.pending == 0


async def test_who_leaves_does_not_end_the_patience_of_others(patience: Patience, clock: FakeClock) -> None:
    """The oldest wait is cancelled; the next one still ends at its own time."""
    first = await _begin(patience, _call())
    clock.advance(0.5)
    second = await _begin(patience, _call())
    first.cancel()
    await asyncio.sleep(0)
    clock.advance(0.75)
    await asyncio.sleep(0)
    assert not second.done()
    clock.advance(0.25)
    await second

    assert first.cancelled()
    assert clock.pending == 0
