"""Rules of the run: what it counts, when it may go on, and what it waits for at its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.errors import (
    BudgetExhaustedError,
    CancelledByCallerError,
    DeadlineExceededError,
    ServiceError,
    ShuttingDownError,
)
from agent_service.core.messages import Usage
from agent_service.core.observer import RunStarted
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


def a_run(clock: FakeClock, *, seconds: float = 30.0, observer: RecordingObserver | None = None) -> Run:
    """A run with ``seconds`` left."""
    deadline = Deadline.after(clock, seconds)
    return Run(request_id="r1", deadline=deadline, clock=clock, observer=observer or RecordingObserver())


def stop_reason_at_check(run: Run) -> StopReason:
    """Why ``check`` refuses."""
    with pytest.raises(RunStoppedError) as stopped:
        run.check()
    return stopped.value.reason


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (StopReason.DEADLINE, DeadlineExceededError),
        (StopReason.CALLER_LEFT, CancelledByCallerError),
        (StopReason.SHUTDOWN, ShuttingDownError),
        (StopReason.BUDGET, BudgetExhaustedError),
    ],
)
def test_each_stop_has_the_error_of_its_code(reason: StopReason, kind: type[ServiceError]) -> None:
    """The caller is told why, by the error whose code the reason is."""
    error = reason.error()
    assert type(error) is kind
    assert reason.value == error.code


def test_a_stop_is_no_exception_that_an_agent_could_handle() -> None:
    """Agents turn every ``Exception`` of a tool into an observation; a stop must get past them."""
    assert not issubclass(RunStoppedError, Exception)


def test_events_go_to_the_observer(clock: FakeClock) -> None:
    """What a run emits is heard."""
    observer = RecordingObserver()
    event = RunStarted("r1", "agent")
    a_run(clock, observer=observer).emit(event)
    assert observer.events == [event]


def test_tool_steps_are_numbered_from_one_and_named_in_order(clock: FakeClock) -> None:
    """Steps and tools of the response are those that were counted."""
    run = a_run(clock)
    assert [run.count_tool_step(tool) for tool in ("clock", "calculator", "clock")] == [1, 2, 3]
    assert run.tools_used == ("clock", "calculator", "clock")
    assert run.reasoning_steps == 3


def test_usage_adds_up(clock: FakeClock) -> None:
    """A query costs what its calls cost together."""
    run = a_run(clock)
    run.count_lm_call(Usage(10, 2, 1))
    run.count_lm_call(Usage(20, 3, 1))
    assert run.usage == Usage(30, 5, 2)


def test_counts_from_many_threads_are_not_lost(clock: FakeClock) -> None:
    """Programs with threads count on one run; every step gets a number of its own."""
    run = a_run(clock)
    with ThreadPoolExecutor(8) as threads:
        steps = list(threads.map(lambda _: run.count_tool_step("t"), range(400)))
        list(threads.map(lambda _: run.count_lm_call(Usage(1, 1, 1)), range(400)))
    assert sorted(steps) == list(range(1, 401))
    assert run.usage == Usage(400, 400, 400)


def test_a_fresh_run_may_go_on(clock: FakeClock) -> None:
    """Nothing refuses before a stop or the deadline."""
    run = a_run(clock)
    run.check()
    assert run.stop_reason is None


def test_no_step_begins_after_the_deadline(clock: FakeClock) -> None:
    """The seam notices the deadline itself, without anybody stopping the run."""
    run = a_run(clock, seconds=5)
    clock.advance(5)
    assert stop_reason_at_check(run) is StopReason.DEADLINE
    assert run.stop_reason is StopReason.DEADLINE


async def test_no_step_begins_after_a_stop(clock: FakeClock) -> None:
    """A stopped run refuses every step with the reason."""
    run = a_run(clock)
    run.stop(StopReason.SHUTDOWN)
    assert stop_reason_at_check(run) is StopReason.SHUTDOWN


async def test_the_first_reason_stays(clock: FakeClock) -> None:
    """A later stop, or the deadline after a stop, changes nothing of what the caller is told."""
    run = a_run(clock, seconds=5)
    run.stop(StopReason.CALLER_LEFT)
    run.stop(StopReason.SHUTDOWN)
    clock.advance(10)
    assert stop_reason_at_check(run) is StopReason.CALLER_LEFT


async def test_the_deadline_that_was_noticed_first_stays(clock: FakeClock) -> None:
    """A caller who leaves after the deadline was met does not change the reason either."""
    run = a_run(clock, seconds=5)
    clock.advance(5)
    stop_reason_at_check(run)
    run.stop(StopReason.CALLER_LEFT)
    assert run.stop_reason is StopReason.DEADLINE


async def test_who_waits_for_the_stop_is_told_the_reason(clock: FakeClock) -> None:
    """The future resolves at the stop, not before, and is the same one for all."""
    run = a_run(clock)
    stopped = run.when_stopped()
    assert stopped is run.when_stopped()
    assert not stopped.done()
    run.stop(StopReason.SHUTDOWN)
    run.stop(StopReason.CALLER_LEFT)
    assert await stopped is StopReason.SHUTDOWN


async def test_who_asks_after_the_stop_is_told_at_once(clock: FakeClock) -> None:
    """A stop is not missed by asking late."""
    run = a_run(clock)
    run.stop(StopReason.BUDGET)
    assert run.when_stopped().result() is StopReason.BUDGET


async def test_a_stop_from_inside_takes_effect_at_the_next_seam(clock: FakeClock) -> None:
    """A step that stops its own run finishes its work first, uncancelled; no step begins after it."""
    run = a_run(clock)
    with run.interruptible():
        run.stop(StopReason.BUDGET)
        await asyncio.sleep(0)
    with pytest.raises(RunStoppedError), run.interruptible():
        pytest.fail("the body ran")


async def test_a_step_that_ends_in_time_is_left_alone(clock: FakeClock) -> None:
    """After the block neither its limit nor a stop reaches the task."""
    run = a_run(clock)
    with run.interruptible(1.0):
        await asyncio.sleep(0)
    clock.advance(2.0)
    run.stop(StopReason.SHUTDOWN)
    await asyncio.sleep(0)


async def test_the_deadline_stops_the_run_by_itself_where_asked(clock: FakeClock) -> None:
    """Within ``stopped_at_deadline`` the stop comes with the deadline."""
    run = a_run(clock, seconds=5)
    with run.stopped_at_deadline():
        clock.advance(4.9)
        assert run.stop_reason is None
        clock.advance(0.1)
        assert run.stop_reason is StopReason.DEADLINE


async def test_a_query_that_is_over_is_not_stopped_by_its_deadline(clock: FakeClock) -> None:
    """The timer ends with the block, however it is left."""
    run = a_run(clock, seconds=5)
    with pytest.raises(ValueError, match="answered"), run.stopped_at_deadline():
        raise ValueError("answered")
    clock.advance(10)
    assert run.stop_reason is None


async def test_a_complete_run_is_not_stopped(clock: FakeClock) -> None:
    """Once the program has answered, a caller who leaves does not undo the storing of the turn."""
    run = a_run(clock)
    run.complete()
    run.stop(StopReason.CALLER_LEFT)
    run.check()
    assert run.stop_reason is None


async def test_a_run_settles_when_all_its_work_is_done(clock: FakeClock) -> None:
    """Threads cannot be interrupted, so a run is over when the last of them is, failed ones included."""
    run = a_run(clock)
    first: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    second: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    run.hold_for(first)
    run.hold_for(second)
    settled = asyncio.create_task(run.settled())
    await asyncio.sleep(0)
    first.set_exception(ValueError("the work failed"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not settled.done()
    assert not run.is_settled
    second.set_result(None)
    await settled
    assert isinstance(first.exception(), ValueError)


async def test_work_that_begins_while_a_run_settles_is_waited_for(clock: FakeClock) -> None:
    """A thread that starts another one keeps the slot until both are done."""
    run = a_run(clock)
    first: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    second: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    run.hold_for(first)
    settled = asyncio.create_task(run.settled())
    await asyncio.sleep(0)
    run.hold_for(second)
    first.set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not settled.done()
    second.set_result(None)
    await settled


async def test_a_run_without_work_is_settled(clock: FakeClock) -> None:
    """Work that was done already is not waited for."""
    run = a_run(clock)
    await run.settled()
    assert run.is_settled
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    run.hold_for(done)
    await run.settled()


async def test_repr_tells_the_state(clock: FakeClock) -> None:
    """Logs and failing tests show where a run stands."""
    run = a_run(clock)
    run.count_tool_step("clock")
    assert repr(run) == "<Run r1 running, 1 steps, 0 LM calls>"
    run.stop(StopReason.CALLER_LEFT)
    assert repr(run) == "<Run r1 cancelled, 1 steps, 0 LM calls>"


async def test_a_run_goes_with_its_last_user(clock: FakeClock) -> None:
    """Nothing of a run leads back to it, or each query's would stay until a collection of old objects."""
    run = a_run(clock)
    gc.disable()
    try:
        with run.interruptible(5.0):
            await asyncio.sleep(0)
        left = weakref.ref(run)
        del run
        assert left() is None
    finally:
        gc.enable()
