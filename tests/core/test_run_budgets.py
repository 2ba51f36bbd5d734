"""Rules of the budgets of a run: what is counted when, what is refused, and in which words."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.errors import BudgetExhaustedError
from agent_service.core.messages import Usage
from agent_service.core.run import Run, RunLimits, RunStoppedError, StopReason
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.testing import FakeClock


def a_run(clock: FakeClock, **limits: int) -> Run:
    """A run that may use so much."""
    deadline = Deadline.after(clock, 30)
    observer = RecordingObserver()
    return Run(request_id="r1", deadline=deadline, clock=clock, observer=observer, limits=RunLimits(**limits))


def refusal(seam: Callable[[], object]) -> str | None:
    """The words of the budget's refusal."""
    with pytest.raises(RunStoppedError) as stopped:
        seam()
    assert stopped.value.reason is StopReason.BUDGET
    assert isinstance(stopped.value.error(), BudgetExhaustedError)
    return stopped.value.error().detail


def test_calls_are_counted_when_they_begin(clock: FakeClock) -> None:
    """As many as allowed; the one after is refused before it is made, and is not counted."""
    run = a_run(clock, lm_calls=2)
    run.begin_lm_call()
    run.begin_lm_call()
    run.check()
    assert refusal(run.begin_lm_call) == "A query may make at most 2 calls of language models."
    assert run.usage == Usage(lm_calls=2)


def test_tokens_are_counted_when_a_call_has_ended(clock: FakeClock) -> None:
    """Prompt and completion together; the call that reaches the budget is answered, none begins after it."""
    run = a_run(clock, tokens=100)
    run.begin_lm_call()
    run.count_tokens(Usage(60, 39, lm_calls=1))
    run.begin_lm_call()
    run.count_tokens(Usage(0, 1, lm_calls=1))
    run.check()
    assert refusal(run.begin_lm_call) == "A query may use at most 100 tokens."
    assert run.usage == Usage(60, 40, lm_calls=2)


def test_tool_steps_are_counted_when_they_begin(clock: FakeClock) -> None:
    """The step too many is refused and is none of the response's steps."""
    run = a_run(clock, tool_steps=1)
    assert run.count_tool_step("clock") == 1
    run.check()
    assert refusal(lambda: run.count_tool_step("calculator")) == "A query may take at most 1 tool steps."
    assert run.tools_used == ("clock",)


def test_no_tool_at_all_is_a_budget(clock: FakeClock) -> None:
    """Nothing allowed is not the same as no limit."""
    run = a_run(clock, tool_steps=0)
    assert refusal(lambda: run.count_tool_step("clock")) == "A query may take at most 0 tool steps."


def test_without_limits_nothing_is_refused(clock: FakeClock) -> None:
    """Budgets are off until they are set."""
    run = a_run(clock)
    for _ in range(1000):
        run.begin_lm_call()
        run.count_tokens(Usage(10**6, 10**6))
        run.count_tool_step("clock")
    run.check()


def test_every_seam_after_it_refuses_in_the_same_words(clock: FakeClock) -> None:
    """An agent that gets past the first refusal meets it at whatever it does next."""
    run = a_run(clock, lm_calls=1)
    run.begin_lm_call()
    words = refusal(run.begin_lm_call)
    assert refusal(run.check) == words
    assert refusal(run.begin_lm_call) == words
    assert run.stop_reason is StopReason.BUDGET
    stopped = run.stopped_error()
    assert stopped is not None
    assert stopped.error().detail == words


async def test_a_run_that_was_stopped_before_keeps_its_reason(clock: FakeClock) -> None:
    """Who left was not stopped by the budget."""
    run = a_run(clock, tool_steps=0)
    run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError, match="cancelled"):
        run.count_tool_step("clock")


def test_a_complete_run_is_refused_and_not_stopped(clock: FakeClock) -> None:
    """A thread that was left over may not go on; the answer that was given is stored all the same."""
    run = a_run(clock, lm_calls=1)
    run.begin_lm_call()
    run.complete()
    assert refusal(run.begin_lm_call) == "A query may make at most 1 calls of language models."
    assert run.stop_reason is None


async def test_the_caller_is_told_and_other_steps_end(clock: FakeClock) -> None:
    """The run stops as a whole; the task that met the budget goes on to its own refusal, uncancelled."""
    run = a_run(clock, lm_calls=1)
    run.begin_lm_call()
    told = run.when_stopped()

    async def hang() -> None:
        with run.interruptible():
            await asyncio.Event().wait()

    other = asyncio.create_task(hang())
    await asyncio.sleep(0)
    with run.interruptible():
        refusal(run.begin_lm_call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert told.result() is StopReason.BUDGET
    with pytest.raises(RunStoppedError) as stopped:
        await other
    assert stopped.value.detail == "A query may make at most 1 calls of language models."


async def test_a_thread_that_meets_the_budget_stops_the_run_on_its_loop(clock: FakeClock) -> None:
    """The caller is told on the loop's own thread, the only one where a future may be resolved."""
    asyncio.get_running_loop().set_debug(True)  # refuses to be touched by another thread
    run = a_run(clock, lm_calls=1)
    run.begin_lm_call()
    told = run.when_stopped()
    told.add_done_callback(lambda _: None)
    words = await asyncio.to_thread(refusal, run.begin_lm_call)
    assert words == "A query may make at most 1 calls of language models."
    assert await told is StopReason.BUDGET


def test_a_budget_is_one_for_all_threads(clock: FakeClock) -> None:
    """Calls that begin at once do not slip through together."""
    run = a_run(clock, lm_calls=50, tool_steps=50)

    def begin(_: int) -> tuple[bool, bool]:
        begun = []
        for seam in (run.begin_lm_call, lambda: run.count_tool_step("clock")):
            try:
                seam()
            except RunStoppedError:
                begun.append(False)
            else:
                begun.append(True)
        return begun[0], begun[1]

    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(begin, range(400)))
    assert [sum(calls) for calls in zip(*begun, strict=True)] == [50, 50]


@pytest.mark.parametrize("wrong", [{"lm_calls": 0}, {"tokens": 0}, {"tool_steps": -1}])
def test_limits_that_make_no_sense_are_refused_by_name(wrong: dict[str, int]) -> None:
    """A query that may call no model has no answer."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RunLimits(**wrong)
