"""Rules of interruption: a stop or a step's limit ends what is awaited; others' cancellations stay theirs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.run import Run, RunStoppedError, StepTimeoutError, StopReason
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from agent_service.testing import FakeClock

needs_counted_cancellations = pytest.mark.skipif(
    not hasattr(asyncio.Task, "uncancel"), reason="Python 3.10 cannot tell whose a cancellation is"
)


@pytest.fixture
def run(clock: FakeClock) -> Run:
    """A run with half a minute left."""
    deadline = Deadline.after(clock, 30)
    return Run(request_id="r1", deadline=deadline, clock=clock, observer=RecordingObserver())


async def begun(coroutine: Coroutine[object, object, object]) -> asyncio.Task[object]:
    """A task that has run up to its first wait."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def hang(run: Run, limit_seconds: float | None = None) -> None:
    """Wait for ever at a seam."""
    with run.interruptible(limit_seconds):
        await asyncio.Event().wait()


async def end_of(task: asyncio.Task[object]) -> BaseException | None:
    """How the task ended: None, or what it raised."""
    await asyncio.wait({task})
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def assert_clean(task: asyncio.Task[object]) -> None:
    """No cancellation is left on the task, where Python counts them."""
    cancelling = getattr(task, "cancelling", None)
    assert cancelling is None or cancelling() == 0


async def test_a_stop_ends_what_is_awaited(run: Run) -> None:
    """A step in flight ends with the reason, as a stop and not as a cancellation."""
    task = await begun(hang(run))
    run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError, match="cancelled"):
        await task
    assert_clean(task)


async def test_the_step_s_own_limit_ends_it(run: Run, clock: FakeClock) -> None:
    """Past its limit a step ends with an ordinary error, and the run may go on."""
    task = await begun(hang(run, limit_seconds=2.0))
    clock.advance(1.9)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance(0.1)
    assert isinstance(await end_of(task), StepTimeoutError)
    assert run.stop_reason is None


async def test_past_the_run_s_deadline_the_limit_is_a_stop(run: Run, clock: FakeClock) -> None:
    """A limit that is met when the deadline has passed is not told to the agent as a slow step."""
    task = await begun(hang(run, limit_seconds=30.0))
    clock.advance(30.0)
    assert isinstance(await end_of(task), RunStoppedError)
    assert run.stop_reason is StopReason.DEADLINE


async def test_stop_and_limit_at_once_are_a_stop(run: Run, clock: FakeClock) -> None:
    """Two cancellations of ours in one tick are both taken back."""
    task = await begun(hang(run, limit_seconds=2.0))
    clock.advance(2.0)
    run.stop(StopReason.SHUTDOWN)
    assert isinstance(await end_of(task), RunStoppedError)
    assert_clean(task)


async def test_a_cancellation_by_somebody_else_stays_one(run: Run) -> None:
    """The owner of the task cancels it, and it ends cancelled."""
    task = await begun(hang(run, limit_seconds=2.0))
    task.cancel()
    assert isinstance(await end_of(task), asyncio.CancelledError)


@needs_counted_cancellations
@pytest.mark.parametrize("stop_first", [True, False])
async def test_a_cancellation_that_meets_a_stop_is_not_swallowed(run: Run, stop_first: bool) -> None:
    """Whoever cancels the task sees it cancelled, whatever we did to it in the same tick."""
    task = await begun(hang(run))
    steps: list[Callable[[], object]] = [lambda: run.stop(StopReason.SHUTDOWN), task.cancel]
    for step in steps if stop_first else reversed(steps):
        step()
    assert isinstance(await end_of(task), asyncio.CancelledError)


async def test_nested_steps_stop_once(run: Run) -> None:
    """The innermost step turns the cancellation into the stop; outer ones let it through."""

    async def nested() -> None:
        with run.interruptible():
            await hang(run, limit_seconds=5.0)

    task = await begun(nested())
    run.stop(StopReason.CALLER_LEFT)
    assert isinstance(await end_of(task), RunStoppedError)
    assert_clean(task)


async def test_an_outer_step_is_interruptible_after_an_inner_one(run: Run) -> None:
    """The end of the inner block takes nothing from the outer one."""

    async def nested() -> None:
        with run.interruptible():
            with run.interruptible(1.0):
                await asyncio.sleep(0)
            await asyncio.Event().wait()

    task = await begun(nested())
    await asyncio.sleep(0)
    run.stop(StopReason.CALLER_LEFT)
    assert isinstance(await end_of(task), RunStoppedError)


async def test_the_limit_of_an_outer_step_is_the_outer_step_s_error(run: Run, clock: FakeClock) -> None:
    """An inner step with a longer limit of its own is ended by the outer one's, and does not claim it."""
    seen: list[type[BaseException]] = []

    async def nested() -> None:
        with run.interruptible(2.0):
            try:
                await hang(run, limit_seconds=5.0)
            except BaseException as error:
                seen.append(type(error))
                raise

    task = await begun(nested())
    clock.advance(2.0)
    assert isinstance(await end_of(task), StepTimeoutError)
    assert seen == [asyncio.CancelledError]


async def test_a_stop_that_meets_an_outer_limit_is_a_stop(run: Run, clock: FakeClock) -> None:
    """Whichever block takes its cancellation back last, the run was stopped."""

    async def nested() -> None:
        with run.interruptible(2.0):
            await hang(run)

    task = await begun(nested())
    clock.advance(2.0)
    run.stop(StopReason.SHUTDOWN)
    assert isinstance(await end_of(task), RunStoppedError)


async def test_a_step_timeout_can_be_handled_and_the_task_goes_on(run: Run, clock: FakeClock) -> None:
    """After a slow step the task waits, times out and stops again like any other."""
    handled: list[str] = []

    async def retrying() -> None:
        for _ in range(2):
            try:
                await hang(run, limit_seconds=1.0)
            except StepTimeoutError:
                handled.append("slow")
        await hang(run)

    task = await begun(retrying())
    for _ in range(2):
        clock.advance(1.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert handled == ["slow", "slow"]
    assert_clean(task)
    run.stop(StopReason.SHUTDOWN)
    assert isinstance(await end_of(task), RunStoppedError)


async def test_a_body_that_swallows_the_cancellation_leaves_no_trace(run: Run) -> None:
    """The task is not counted as cancelled afterwards; the next seam refuses."""

    async def stubborn() -> None:
        with run.interruptible(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        run.check()

    task = await begun(stubborn())
    run.stop(StopReason.SHUTDOWN)
    assert isinstance(await end_of(task), RunStoppedError)
    assert_clean(task)


async def test_an_error_of_the_body_is_its_own(run: Run) -> None:
    """What a step raises by itself goes through unchanged, also when a stop caused it."""

    async def failing() -> None:
        with run.interruptible():
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("while cleaning up")

    task = await begun(failing())
    run.stop(StopReason.SHUTDOWN)
    assert isinstance(await end_of(task), ValueError)
    assert_clean(task)


async def test_a_second_stop_does_not_interrupt_the_cleaning_up(run: Run) -> None:
    """A step that was interrupted may await its clean-up in peace."""
    cleaned: list[bool] = []
    may_finish = asyncio.Event()

    async def careful() -> None:
        with run.interruptible():
            try:
                await asyncio.Event().wait()
            finally:
                await may_finish.wait()
                cleaned.append(True)

    task = await begun(careful())
    run.stop(StopReason.CALLER_LEFT)
    await asyncio.sleep(0)
    run.stop(StopReason.SHUTDOWN)
    await asyncio.sleep(0)
    may_finish.set()
    assert isinstance(await end_of(task), RunStoppedError)
    assert cleaned == [True]


async def test_a_stop_reaches_a_task_that_its_caller_awaits(run: Run) -> None:
    """A program that spreads its calls over tasks stops as one that does not, and all of them end."""
    calls: list[asyncio.Task[None]] = []

    async def spreading() -> None:
        calls.extend(asyncio.create_task(hang(run)) for _ in range(2))
        with run.interruptible():
            await asyncio.gather(*calls)

    task = await begun(spreading())
    await asyncio.sleep(0)
    run.stop(StopReason.CALLER_LEFT)
    assert isinstance(await end_of(task), RunStoppedError)
    assert all(call.done() for call in calls)


async def test_the_deadline_ends_a_step_in_flight(run: Run, clock: FakeClock) -> None:
    """A call that hangs ends at the run's deadline without a limit of its own."""

    async def query() -> None:
        with run.stopped_at_deadline():
            await hang(run)

    task = await begun(query())
    clock.advance(30.0)
    assert isinstance(await end_of(task), RunStoppedError)
    assert run.stop_reason is StopReason.DEADLINE


@needs_counted_cancellations
async def test_a_task_that_was_cancelled_before_can_still_be_stopped(run: Run) -> None:
    """A step within the clean-up of a cancelled task ends as a stop: the older cancellation is not ours."""
    seen: list[StopReason] = []

    async def cleaning_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(RunStoppedError) as stopped:
                await hang(run)
            seen.append(stopped.value.reason)

    task = await begun(cleaning_up())
    task.cancel()
    await asyncio.sleep(0)
    run.stop(StopReason.SHUTDOWN)
    assert isinstance(await end_of(task), asyncio.CancelledError)
    assert seen == [StopReason.SHUTDOWN]
