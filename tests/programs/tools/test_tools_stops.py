"""A tool call has an end: its limit, a stop; from whatever thread or loop it was made."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from agent_service.core.observer import ToolStarted
from agent_service.core.run import RunStoppedError, StopReason
from agent_service.programs.context import running
from tests.programs.conftest import eventually, ticks
from tests.programs.tools.conftest import awhere, where

if TYPE_CHECKING:
    from tests.programs.tools.conftest import Bench


async def test_a_slow_tool_is_left_and_its_thread_held_for(at: Bench) -> None:
    """Past its limit a call ends with an observation; the thread cannot be ended, so the slot stays taken."""
    go = threading.Event()

    def slow() -> bool:
        return go.wait(10)

    with running(at.run, None):
        task = asyncio.create_task(at.tool(slow, observing=True).acall())
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.clock.advance(5.0)

    assert await task == "Execution error in slow: TimeoutError: it took longer than 5 seconds"
    assert at.outcomes() == ["timeout"]
    assert not at.run.is_settled
    go.set()
    await asyncio.wait_for(at.run.settled(), 5)


async def test_a_slow_async_tool_is_cancelled(at: Bench) -> None:
    """What can be interrupted is."""
    cancelled: list[bool] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    task = asyncio.create_task(at.acall(slow))
    await ticks()
    at.clock.advance(5.0)
    with pytest.raises(TimeoutError):
        await task
    assert cancelled == [True]
    assert at.run.is_settled


async def test_a_timeout_of_the_tool_s_own_is_an_error(at: Bench) -> None:
    """Only our limit counts as ours."""

    async def fail() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await at.acall(fail)
    assert at.outcomes() == ["error"]


async def test_a_stopped_run_calls_no_tool(at: Bench) -> None:
    """After a stop nothing begins: no step, no event; and no agent can handle it as an observation."""
    at.run.stop(StopReason.CALLER_LEFT)
    with running(at.run, None):
        with pytest.raises(RunStoppedError):
            await at.tool(where, observing=True).acall()
        with pytest.raises(RunStoppedError):
            at.tool(where, observing=True)()
    assert at.observer.events == []
    assert at.run.reasoning_steps == 0


async def test_a_stop_during_the_call_ends_it(at: Bench) -> None:
    """An async tool is interrupted, the stop goes on up."""

    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(at.acall(hang))
    await ticks()
    at.run.stop(StopReason.SHUTDOWN)
    with pytest.raises(RunStoppedError):
        await task
    assert at.outcomes() == ["stopped"]


async def test_a_stop_leaves_a_thread_behind_and_holds_for_it(at: Bench) -> None:
    """The query ends at once, the slot when the tool does."""
    go = threading.Event()

    def slow() -> bool:
        return go.wait(10)

    task = asyncio.create_task(at.acall(slow))
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await task
    assert not at.run.is_settled
    go.set()
    await asyncio.wait_for(at.run.settled(), 5)


async def test_a_sync_program_in_a_thread_calls_by_way_of_the_loop(at: Bench) -> None:
    """Both kinds of tools work from there, under the same limits and with the same events."""
    with running(at.run, None):
        assert (await asyncio.to_thread(at.tool(where))).startswith("tool")
        assert await asyncio.to_thread(at.tool(awhere)) == threading.current_thread().name
    assert at.outcomes() == ["success", "success"]


async def test_a_stop_reaches_a_tool_that_a_thread_waits_for(at: Bench) -> None:
    """The stop is raised in the program's thread."""

    async def hang() -> None:
        await asyncio.Event().wait()

    with running(at.run, None):
        thread = asyncio.ensure_future(asyncio.to_thread(at.tool(hang, observing=True)))
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await thread


async def test_a_sync_call_on_the_loop_works_in_place(at: Bench) -> None:
    """Async code that calls a sync tool synchronously blocks the loop, as it asked to."""
    with running(at.run, None):
        assert at.tool(where)() == threading.current_thread().name
    assert at.outcomes() == ["success"]


async def test_tools_of_a_program_with_a_loop_of_its_own(at: Bench) -> None:
    """Async tools run on the loop that the program made, for what they hold belongs there."""

    async def on() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def program() -> bool:
        assert (await at.tool(where).acall()).startswith("tool")
        return await at.tool(on).acall() is asyncio.get_running_loop()

    with running(at.run, None):
        assert await asyncio.to_thread(lambda: asyncio.run(program()))
    assert at.outcomes() == ["success", "success"]
    assert at.run.is_settled


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_stop_reaches_tools_on_another_loop(at: Bench, asynchronous: bool) -> None:
    """The stop crosses the loops; a thread left behind is held for on the service's."""
    go = threading.Event()

    async def ahang() -> None:
        await asyncio.Event().wait()

    def hang() -> bool:
        return go.wait(10)

    async def program() -> None:
        await at.tool(ahang if asynchronous else hang).acall()

    with running(at.run, None):
        thread = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(program())))
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await thread
    assert at.run.is_settled is asynchronous
    go.set()
    await asyncio.wait_for(at.run.settled(), 5)
