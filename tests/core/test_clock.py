"""Rules of time: deadlines on the monotonic clock, waits that end and leave no timer behind."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline, SystemClock, first_of, sleep, wait_at_most

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


def test_a_deadline_counts_down_and_stops_at_zero(clock: FakeClock) -> None:
    """What remains shrinks with time and is never negative."""
    deadline = Deadline.after(clock, 2.0)
    clock.advance(0.5)
    assert deadline.remaining_seconds() == 1.5
    clock.advance(10)
    assert deadline.remaining_seconds() == 0.0


def test_a_deadline_has_passed_at_its_very_point(clock: FakeClock) -> None:
    """At the point itself nothing remains, so it has passed."""
    deadline = Deadline.after(clock, 2.0)
    clock.advance(1.5)
    assert not deadline.passed()
    clock.advance(0.5)
    assert deadline.passed()


def test_a_deadline_does_not_heed_the_wall_clock(clock: FakeClock) -> None:
    """An operator who sets the time back or forth moves no deadline."""
    deadline = Deadline.after(clock, 2.0)
    clock.step_wall(86_400)
    assert not deadline.passed()
    clock.step_wall(-2 * 86_400)
    assert deadline.remaining_seconds() == 2.0


def test_a_reserve_is_taken_off_the_end(clock: FakeClock) -> None:
    """A deadline with a reserve is that much earlier, on the same clock."""
    earlier = Deadline.after(clock, 5.0).earlier_by(2.0)
    assert earlier.remaining_seconds() == 3.0
    assert earlier.clock is clock


async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before(clock: FakeClock) -> None:
    """A sleep lasts as long as it was asked for, on the clock it was given."""
    sleeper = asyncio.create_task(sleep(clock, 1.0))
    await asyncio.sleep(0)
    clock.advance(0.9)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(0.1)
    await sleeper


async def test_a_cancelled_sleep_leaves_no_timer(clock: FakeClock) -> None:
    """The timer ends with the wait."""
    sleeper = asyncio.create_task(sleep(clock, 1.0))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    assert clock.pending == 0


async def test_a_cancellation_and_the_end_of_a_sleep_may_meet(clock: FakeClock) -> None:
    """A timer that fires after the cancellation, before the sleeper ran, does no harm."""
    sleeper = asyncio.create_task(sleep(clock, 1.0))
    await asyncio.sleep(0)
    sleeper.cancel()
    clock.advance(2.0)
    with pytest.raises(asyncio.CancelledError):
        await sleeper


async def test_a_negative_sleep_is_over_at_once(clock: FakeClock) -> None:
    """A wait that should have ended in the past ends now."""
    sleeper = asyncio.create_task(sleep(clock, -5.0))
    await asyncio.sleep(0)
    clock.advance(0.0)
    await sleeper


def a_future() -> asyncio.Future[str]:
    """Something to wait for."""
    return asyncio.get_running_loop().create_future()


async def test_a_bounded_wait_ends_with_the_first_that_is_done(clock: FakeClock) -> None:
    """One of several is enough, a failed one too; the others and their outcomes are left alone."""
    first, second = a_future(), a_future()
    wait = asyncio.create_task(wait_at_most(clock, 1.0, first, second))
    await asyncio.sleep(0)
    second.set_exception(ValueError("told to whoever asks the future"))
    assert await wait
    assert not first.done()
    assert clock.pending == 0
    assert isinstance(second.exception(), ValueError)


async def test_a_bounded_wait_ends_when_its_time_has_come_and_not_before(clock: FakeClock) -> None:
    """At the limit it says that nothing is done, and what is late goes on."""
    late = a_future()
    wait = asyncio.create_task(wait_at_most(clock, 1.0, late))
    await asyncio.sleep(0)
    clock.advance(0.9)
    await asyncio.sleep(0)
    assert not wait.done()
    clock.advance(0.1)
    assert await wait is False
    assert not late.done()


async def test_a_bounded_wait_for_what_is_done_needs_no_time(clock: FakeClock) -> None:
    """What was done before is done."""
    done = a_future()
    done.set_result("done")
    assert await wait_at_most(clock, 1.0, a_future(), done)


async def test_what_is_done_at_the_very_limit_is_done(clock: FakeClock) -> None:
    """The answer is whether something is done, not which of the two was first."""
    future = a_future()
    wait = asyncio.create_task(wait_at_most(clock, 1.0, future))
    await asyncio.sleep(0)
    clock.advance(1.0)
    future.set_result("just in time")
    assert await wait


async def test_a_cancelled_bounded_wait_leaves_no_timer_and_cancels_nothing(clock: FakeClock) -> None:
    """Who waits may leave; what they waited for goes on."""
    future = a_future()
    wait = asyncio.create_task(wait_at_most(clock, 1.0, future))
    await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert clock.pending == 0
    assert not future.done()


async def test_the_fake_clock_counts_what_is_pending(clock: FakeClock) -> None:
    """A timer is pending until it is cancelled or has made its call."""
    clock.call_later(1.0, lambda: None)
    timer = clock.call_later(2.0, lambda: None)
    assert clock.pending == 2
    timer.cancel()
    assert clock.pending == 1
    clock.advance(1.0)
    assert clock.pending == 0


async def test_the_system_clock_is_the_machine_s() -> None:
    """Both readings are the machine's, and a timer is the running loop's."""
    clock = SystemClock()
    before_monotonic, before_wall = time.monotonic(), time.time()
    called = asyncio.Event()
    clock.call_later(0.0, called.set)
    clock.call_later(0.0, pytest.fail).cancel()
    await called.wait()
    assert before_monotonic <= clock.monotonic() <= time.monotonic()
    assert before_wall <= clock.wall() <= time.time() + 1.0


async def test_the_first_of_several_ends_the_wait() -> None:
    """What was done before needs no wait; the others are left alone, also when who waits is cancelled."""
    first, second, third = a_future(), a_future(), a_future()
    wait = asyncio.create_task(first_of(first, second))
    await asyncio.sleep(0)
    assert not wait.done()
    second.set_result("done")
    first.set_result("at the same time")
    await wait
    await first_of(third, second)

    left = asyncio.create_task(first_of(third))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert not third.done()
