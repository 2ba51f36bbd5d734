"""Rules of the pool at its ends: draining, idleness, overload, options that make no sense."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.errors import PoolExhaustedError, ShuttingDownError
from agent_service.core.pool import Lease, Pool, PoolOptions, PoolStats

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


async def begun(pool: Pool, clock: FakeClock, *, seconds: float = 60.0) -> asyncio.Task[Lease]:
    """Somebody who asks, run up to their wait."""
    task = asyncio.create_task(pool.lease(Deadline.after(clock, seconds)))
    await asyncio.sleep(0)
    return task


@pytest.fixture
def pool(clock: FakeClock) -> Pool:
    """One slot, two places."""
    return Pool(PoolOptions(size=1, queue_limit=2), clock=clock)


async def test_draining_refuses_newcomers(pool: Pool, clock: FakeClock) -> None:
    """A pool that drains gives no lease, though a slot is free, and says that another process will."""
    usable_before = pool.usable
    pool.drain()
    assert (usable_before, pool.usable) == (True, False)
    with pytest.raises(ShuttingDownError) as refused:
        await pool.lease(Deadline.after(clock, 60))
    assert refused.value.retry_after_seconds == 1.0
    assert pool.stats.refused_total == 1


async def test_draining_comes_before_the_deadline(pool: Pool, clock: FakeClock) -> None:
    """Who comes late to a pool that drains is told of the shutdown: that is what a retry can mend."""
    pool.drain()
    with pytest.raises(ShuttingDownError):
        await pool.lease(Deadline.after(clock, 0))


async def test_draining_refuses_everybody_who_waits(pool: Pool, clock: FakeClock) -> None:
    """Those in the queue are told at once; the lease that is out stays and is not given to anybody after."""
    lease = await (await begun(pool, clock))
    waiting = [await begun(pool, clock) for _ in range(2)]
    pool.drain()
    for task in waiting:
        with pytest.raises(ShuttingDownError):
            await task
    assert pool.stats == PoolStats(size=1, in_use=1, waiting=0, refused_total=2)
    lease.release()
    assert pool.stats.in_use == 0


async def test_draining_passes_over_who_has_left(pool: Pool, clock: FakeClock) -> None:
    """A caller who is cancelled in the tick of the drain stays cancelled."""
    await (await begun(pool, clock))
    waiting = await begun(pool, clock)
    waiting.cancel()
    pool.drain()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.stats.refused_total == 0


async def test_idle_returns_when_no_lease_is_out(pool: Pool, clock: FakeClock) -> None:
    """Who waits for the end of the work is woken by the last release."""
    await pool.idle()
    lease = await (await begun(pool, clock))
    idle = asyncio.create_task(pool.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    lease.release()
    await idle


async def test_a_slot_that_changes_hands_is_not_idle(pool: Pool, clock: FakeClock) -> None:
    """A release with somebody in the queue does not make the pool idle."""
    lease = await (await begun(pool, clock))
    waiting = await begun(pool, clock)
    idle = asyncio.create_task(pool.idle())
    await asyncio.sleep(0)
    lease.release()
    second = await waiting
    await asyncio.sleep(0)
    assert not idle.done()
    second.release()
    await idle


async def test_refusals_leave_nothing_behind(clock: FakeClock) -> None:
    """Overload costs no memory, not even until the next garbage collection."""
    busy = Pool(PoolOptions(size=1, queue_limit=0), clock=clock)
    await busy.lease(Deadline.after(clock, 60))
    gc.collect()
    gc.disable()
    try:
        for _ in range(10_000):
            with suppress(PoolExhaustedError):
                await busy.lease(Deadline.after(clock, 60))
        assert gc.collect() < 1000
    finally:
        gc.enable()


async def test_repr_tells_the_state(pool: Pool, clock: FakeClock) -> None:
    """Logs and failing tests show how full the pool is."""
    lease = await (await begun(pool, clock))
    waiting = await begun(pool, clock)
    assert repr(pool) == "<Pool 1/1 in use, 1 waiting>"
    assert repr(lease) == "<Lease held>"
    pool.drain()
    assert repr(pool) == "<Pool 1/1 in use, 0 waiting, draining>"
    with pytest.raises(ShuttingDownError):
        await waiting


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"size": 0}, "size"),
        ({"queue_limit": -1}, "queue_limit"),
        ({"per_principal": 0}, "per_principal"),
        ({"wait_seconds": -0.1}, "wait_seconds"),
        ({"wait_seconds": float("inf")}, "wait_seconds"),
        ({"wait_seconds": float("nan")}, "wait_seconds"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, float], name: str) -> None:
    """A wrong bound is a mistake of the start, not of the first query."""
    with pytest.raises(ValueError, match=name):
        PoolOptions(**options)  # type: ignore[arg-type] # wrong on purpose
