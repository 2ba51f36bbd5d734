"""The end of the service: the grace of a drain, and what becomes of queries that outlast it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import ShuttingDownError
from agent_service.runtime.lifecycle import WIND_DOWN_SECONDS, Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.run import Run
    from tests.runtime.conftest import Parts


def held_until(released: asyncio.Event) -> Callable[..., Awaitable[None]]:
    """A store or program that takes its time."""

    async def hold(*_: object) -> None:
        await released.wait()

    return hold


async def test_a_drain_that_is_asked_for_during_the_start_is_kept(parts: Parts) -> None:
    """A process that was told to go does not call itself ready afterwards."""
    parts.lifecycle.begin_drain()
    async with parts.lifecycle.running():
        assert parts.lifecycle.phase is Phase.DRAINING
    parts.lifecycle.begin_drain()
    assert repr(parts.lifecycle) == "<Lifecycle stopped>"


async def test_who_withdraws_is_not_ready_and_answers(parts: Parts) -> None:
    """Load balancers turn away while whoever comes all the same is served."""
    async with parts.lifecycle.running():
        parts.lifecycle.withdraw()
        assert parts.lifecycle.phase is Phase.DRAINING
        assert (await (await parts.service.begun("late"))).stored


async def test_a_drain_refuses_new_queries_and_lets_others_finish(parts: Parts) -> None:
    """The drain reaches the runner; it is over when the last query is."""
    released = asyncio.Event()
    parts.service.store.before_commit = held_until(released)
    async with parts.lifecycle.running():
        running = await parts.service.begun("running")
        parts.lifecycle.begin_drain()
        drained = asyncio.create_task(parts.lifecycle.drained(30.0))
        with pytest.raises(ShuttingDownError):
            await parts.service.begin("late")
        assert not drained.done()
        released.set()
        await drained
        assert (await running).stored
    await parts.service.assert_at_rest()


async def test_the_grace_is_the_longest_a_drain_takes(parts: Parts) -> None:
    """When it is over, callers that still wait are told that the service shuts down."""
    parts.service.script = parts.service.hang
    async with parts.lifecycle.running():
        hanging = await parts.service.begun()
        parts.lifecycle.begin_drain()
        drained = asyncio.create_task(parts.lifecycle.drained(20.0))
        await parts.service.settle()
        parts.service.clock.advance(19.9)
        await parts.service.settle()
        assert not drained.done()
        assert not hanging.done()
        parts.service.clock.advance(0.1)
        await drained
        await parts.service.settle()
        assert isinstance(hanging.exception(), ShuttingDownError)
    await parts.service.assert_at_rest()


async def test_after_the_grace_nothing_waits_for_a_thread_any_more(parts: Parts) -> None:
    """Work that cannot be stopped is left to itself, by the drain too."""
    thread: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def leaving_a_thread(run: Run) -> str:
        run.hold_for(thread)
        return "done"

    parts.service.script = leaving_a_thread
    async with parts.lifecycle.running():
        await parts.service.begun()
        others = asyncio.all_tasks()
        drained = asyncio.create_task(parts.lifecycle.drained(20.0))
        await parts.service.settle()
        parts.service.clock.advance(20.0)
        await drained
        await parts.service.settle()
        assert asyncio.all_tasks() == others
    thread.set_result(None)
    await parts.service.assert_at_rest()


async def test_a_drain_that_is_cut_short_tells_the_callers(parts: Parts) -> None:
    """Whoever does not want to wait for the grace any more cancels it: queries end as at its end."""
    parts.service.script = parts.service.hang
    async with parts.lifecycle.running():
        hanging = await parts.service.begun()
        parts.lifecycle.begin_drain()
        drained = asyncio.create_task(parts.lifecycle.drained(20.0))
        await parts.service.settle()
        drained.cancel()
        await parts.service.settle()
        assert drained.cancelled()
        assert isinstance(hanging.exception(), ShuttingDownError)
    await parts.service.assert_at_rest()


async def test_the_end_stops_queries_and_waits_for_their_turns(parts: Parts) -> None:
    """What is answered is stored before the store closes; what still runs, or comes now, is refused."""
    released = asyncio.Event()
    parts.service.store.before_commit = held_until(released)
    leave = asyncio.Event()

    async def live() -> None:
        async with parts.lifecycle.running():
            await leave.wait()

    living = asyncio.create_task(live())
    storing = await parts.service.begun("storing")
    parts.service.script = parts.service.hang
    hanging = await parts.service.begun("hanging")
    leave.set()
    await parts.service.settle()

    assert isinstance(hanging.exception(), ShuttingDownError)
    with pytest.raises(ShuttingDownError):
        await parts.service.begin("late")
    assert "close program" not in parts.log
    released.set()
    await living
    assert (await storing).stored
    await parts.service.assert_at_rest()


async def test_a_query_that_does_not_end_does_not_keep_the_store_open(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that heeds no stop is given up after a while, the log says so, and the parts are closed."""
    released, leave = asyncio.Event(), asyncio.Event()

    async def deaf(run: Run) -> str:
        await released.wait()
        return "too late"

    async def live() -> None:
        async with parts.lifecycle.running():
            await leave.wait()

    parts.service.script = deaf
    living = asyncio.create_task(live())
    deafened = await parts.service.begun()
    leave.set()
    await parts.service.settle()
    assert isinstance(deafened.exception(), ShuttingDownError)
    assert not living.done()
    parts.service.clock.advance(WIND_DOWN_SECONDS)
    await living

    assert parts.log[-2:] == ["close program", "close store"]
    assert "<Runner 0 in flight, 1 abandoned" in caplog.text
    released.set()
    await parts.service.assert_at_rest()
