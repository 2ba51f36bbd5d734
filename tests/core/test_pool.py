"""Rules of the pool, one by one: who gets a slot, who waits, who is refused and with which words."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.errors import (
    DeadlineExceededError,
    PoolExhaustedError,
    ServiceError,
)
from agent_service.core.pool import Lease, Pool, PoolOptions, PoolStats

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


class Desk:
    """A pool of one slot (unless said otherwise) with people in front of it."""

    def __init__(
        self, clock: FakeClock, *, size: int = 1, queue_limit: int = 2, wait_seconds: float = 2.0
    ) -> None:
        self.clock = clock
        self.pool = Pool(PoolOptions(size, queue_limit, wait_seconds), clock=clock)

    async def take(self, *, seconds: float = 60.0) -> Lease:
        """Lease with a deadline in ``seconds``."""
        return await self.pool.lease(Deadline.after(self.clock, seconds))

    async def queue(self, *, seconds: float = 60.0) -> asyncio.Task[Lease]:
        """Somebody who asks, run up to their wait."""
        task = asyncio.create_task(self.take(seconds=seconds))
        await asyncio.sleep(0)
        return task

    async def refusal(self, *, seconds: float = 60.0) -> ServiceError:
        """What one more is refused with, without waiting."""
        task = await self.queue(seconds=seconds)
        assert task.done()
        error = task.exception()
        assert isinstance(error, ServiceError)
        return error


async def test_leases_are_given_up_to_the_size(clock: FakeClock) -> None:
    """No more leases are out than there are slots; the next one waits."""
    desk = Desk(clock, size=2)
    await desk.take()
    await desk.take()
    waiting = await desk.queue()
    assert desk.pool.stats == PoolStats(size=2, in_use=2, waiting=1, refused_total=0)
    assert not waiting.done()
    waiting.cancel()


async def test_a_slot_goes_to_who_waits_longest(clock: FakeClock) -> None:
    """First come, first served."""
    desk = Desk(clock)
    lease = await desk.take()
    first, second = await desk.queue(), await desk.queue()
    lease.release()
    next_lease = await first
    assert not second.done()
    next_lease.release()
    await second


async def test_nobody_overtakes_the_queue(clock: FakeClock) -> None:
    """A slot that is free for somebody in the queue is not free for a newcomer of the same tick."""
    desk = Desk(clock)
    lease = await desk.take()
    waiting = await desk.queue()
    lease.release()
    newcomer = await desk.queue()
    assert waiting.done()
    assert not newcomer.done()
    newcomer.cancel()


async def test_a_lease_is_released_once(clock: FakeClock) -> None:
    """A second release frees nobody else's slot."""
    desk = Desk(clock)
    lease = await desk.take()
    lease.release()
    other = await desk.take()
    lease.release()
    assert desk.pool.stats.in_use == 1
    assert [repr(lease), repr(other)] == ["<Lease released>", "<Lease held>"]


async def test_a_lease_ends_with_its_block(clock: FakeClock) -> None:
    """As a context manager it is released however the block is left."""
    desk = Desk(clock)
    lease = await desk.take()
    with pytest.raises(ValueError, match="broken"), lease:
        raise ValueError("broken")
    assert desk.pool.stats.in_use == 0
    assert repr(lease) == "<Lease released>"


async def test_a_full_queue_refuses_at_once(clock: FakeClock) -> None:
    """One more than may wait is refused without waiting, and those who wait keep their places."""
    desk = Desk(clock)
    lease = await desk.take()
    first, second = await desk.queue(), await desk.queue()
    assert isinstance(await desk.refusal(), PoolExhaustedError)
    assert desk.pool.stats == PoolStats(size=1, in_use=1, waiting=2, refused_total=1)
    lease.release()
    (await first).release()
    await second


async def test_without_a_queue_a_busy_pool_refuses_at_once(clock: FakeClock) -> None:
    """``queue_limit=0`` means that nobody waits, and free slots are given all the same."""
    desk = Desk(clock, queue_limit=0)
    lease = await desk.take()
    assert isinstance(await desk.refusal(), PoolExhaustedError)
    lease.release()
    await desk.take()


async def test_a_wait_that_is_too_long_ends_in_a_refusal(clock: FakeClock) -> None:
    """After ``wait_seconds``, not before, the place is given up with ``pool_exhausted``."""
    desk = Desk(clock, wait_seconds=2.0)
    await desk.take()
    waiting = await desk.queue()
    clock.advance(1.9)
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(0.1)
    with pytest.raises(PoolExhaustedError):
        await waiting
    assert desk.pool.stats == PoolStats(size=1, in_use=1, waiting=0, refused_total=1)


async def test_nobody_waits_past_the_deadline(clock: FakeClock) -> None:
    """A deadline that is sooner than the wait's end ends the wait with ``timeout``."""
    desk = Desk(clock, wait_seconds=2.0)
    await desk.take()
    waiting = await desk.queue(seconds=0.5)
    clock.advance(0.5)
    with pytest.raises(DeadlineExceededError):
        await waiting


async def test_a_slot_that_comes_too_late_goes_to_the_next(clock: FakeClock) -> None:
    """Who is at the deadline gets no slot, though the release comes before the own timer."""
    desk = Desk(clock)
    lease = await desk.take()
    clock.call_later(1.0, lease.release)
    late, next_one = await desk.queue(seconds=1.0), await desk.queue()
    clock.advance(1.0)
    await next_one
    with pytest.raises(DeadlineExceededError):
        await late


@pytest.mark.parametrize("busy", [True, False])
async def test_a_passed_deadline_is_refused_at_once(clock: FakeClock, busy: bool) -> None:
    """A query without time is not started and takes nobody's place, whether a slot is free or not."""
    desk = Desk(clock)
    if busy:
        await desk.take()
    assert isinstance(await desk.refusal(seconds=0.0), DeadlineExceededError)
    assert desk.pool.stats == PoolStats(size=1, in_use=int(busy), waiting=0, refused_total=1)


async def test_a_refusal_without_experience_says_one_second(clock: FakeClock) -> None:
    """Before any lease has ended, the least that Retry-After can say is said."""
    desk = Desk(clock, queue_limit=0)
    await desk.take()
    assert (await desk.refusal()).retry_after_seconds == 1.0


async def test_a_refusal_says_when_a_slot_can_be_expected(clock: FakeClock) -> None:
    """Retry-After is the queue's length, with oneself, times the median lease over the slots, rounded up."""
    desk = Desk(clock, size=2, queue_limit=4)
    for seconds in (1.0, 7.0, 100.0):
        with await desk.take():
            clock.advance(seconds)
    for _ in range(2):
        await desk.take()
    waiting = [await desk.queue() for _ in range(4)]
    refusal = await desk.refusal()
    assert refusal.retry_after_seconds == math.ceil((4 + 1) * 7.0 / 2) == 18
    for task in waiting:
        task.cancel()


async def test_the_last_one_of_a_queue_that_gave_up_is_told_the_wait_for_one(clock: FakeClock) -> None:
    """Who waited too long counts oneself once."""
    desk = Desk(clock, wait_seconds=2.0)
    with await desk.take():
        clock.advance(6.0)
    await desk.take()
    waiting = await desk.queue()
    clock.advance(2.0)
    with pytest.raises(PoolExhaustedError) as refused:
        await waiting
    assert refused.value.retry_after_seconds == 6.0


async def test_old_leases_are_forgotten(clock: FakeClock) -> None:
    """The expectation follows recent leases only, so memory is bounded and a slow hour is got over."""
    desk = Desk(clock, queue_limit=0)
    for seconds in [500.0] * 100 + [2.0] * 32:
        with await desk.take():
            clock.advance(seconds)
    await desk.take()
    assert (await desk.refusal()).retry_after_seconds == 2.0


async def test_who_is_cancelled_gives_up_the_place(clock: FakeClock) -> None:
    """A caller who leaves the queue is not waited for and not counted as refused."""
    desk = Desk(clock)
    lease = await desk.take()
    first, second = await desk.queue(), await desk.queue()
    first.cancel()
    await asyncio.sleep(0)
    assert desk.pool.stats == PoolStats(size=1, in_use=1, waiting=1, refused_total=0)
    lease.release()
    await second
    assert first.cancelled()


async def test_who_is_cancelled_just_after_the_slot_was_assigned_gives_it_back(clock: FakeClock) -> None:
    """Release and cancellation in one tick, in this order: the next in the queue gets the slot."""
    desk = Desk(clock)
    lease = await desk.take()
    first, second = await desk.queue(), await desk.queue()
    lease.release()
    first.cancel()
    (await second).release()
    assert first.cancelled()
    assert desk.pool.stats.in_use == 0


async def test_who_is_cancelled_just_before_the_slot_is_free_does_not_get_it(clock: FakeClock) -> None:
    """Cancellation and release in one tick, in this order: the next in the queue gets the slot."""
    desk = Desk(clock)
    lease = await desk.take()
    first, second = await desk.queue(), await desk.queue()
    first.cancel()
    lease.release()
    (await second).release()
    assert first.cancelled()
    assert desk.pool.stats == PoolStats(size=1, in_use=0, waiting=0, refused_total=0)


async def test_a_cancellation_may_meet_the_end_of_the_wait(clock: FakeClock) -> None:
    """Whichever comes first in the tick, the place is given up once."""
    desk = Desk(clock, wait_seconds=2.0)
    await desk.take()
    for cancelled_first in (True, False):
        waiting = await desk.queue()
        if cancelled_first:
            waiting.cancel()
        clock.advance(2.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert desk.pool.stats.waiting == 0


async def test_a_wait_leaves_no_timer(clock: FakeClock) -> None:
    """However a wait ends, its timer ends with it."""
    desk = Desk(clock, wait_seconds=2.0)
    lease = await desk.take()
    waiting = await desk.queue()
    lease.release()
    await waiting
    leaving = await desk.queue()
    leaving.cancel()
    await asyncio.wait({leaving})
    assert clock.pending == 0
