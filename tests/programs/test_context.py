"""The run follows a program wherever DSPy or asyncio takes it, and nothing of one query stays."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import dspy
import pytest
from dspy.utils.callback import BaseCallback

from agent_service.core.clock import Deadline
from agent_service.core.run import Run
from agent_service.programs.context import current_run, running
from agent_service.programs.streams.answer_predictor import AnswerWatch
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(clock: FakeClock) -> Run:
    """A query's run."""
    return Run(request_id="r1", deadline=Deadline.after(clock, 30), clock=clock, observer=RecordingObserver())


class Look(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Finds the run from where it is called."""

    def forward(self, **_: object) -> Run | None:
        """Look."""
        return current_run()


def test_there_is_no_run_outside_of_one(run: Run) -> None:
    """A run ends with its block."""
    assert current_run() is None
    with running(run, None):
        assert current_run() is run
    assert current_run() is None


async def test_the_run_follows_tasks_and_threads(run: Run) -> None:
    """Tasks, ``asyncio.to_thread``, ``dspy.asyncify`` and ``dspy.Parallel`` inherit it."""

    async def look() -> Run | None:
        return current_run()

    with running(run, None):
        assert list(await asyncio.gather(look(), look())) == [run, run]
        assert await asyncio.create_task(look()) is run
        assert await asyncio.to_thread(current_run) is run
        assert await dspy.asyncify(Look())() is run
        parallel = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        assert await asyncio.to_thread(parallel, [(Look(), {"x": n}) for n in range(3)]) == [run] * 3


async def test_two_runs_at_once_are_told_apart(clock: FakeClock) -> None:
    """Each task sees its own."""

    async def look(name: str) -> bool:
        deadline = Deadline.after(clock, 30)
        run = Run(request_id=name, deadline=deadline, clock=clock, observer=RecordingObserver())
        with running(run, None):
            await asyncio.sleep(0)
            return current_run() is run

    assert all(await asyncio.gather(*(look(str(n)) for n in range(10))))


def test_a_plain_thread_does_not_inherit_it(run: Run) -> None:
    """Nor anything else of DSPy's: its calls belong to no query."""
    found: list[Run | None] = []
    look: Callable[[], None] = lambda: found.append(current_run())  # noqa: E731 - one line for a thread's body
    with running(run, None):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert found == [None]


def test_nothing_is_kept_beyond_the_run(run: Run) -> None:
    """DSPy's histories would keep every user's words; its trace is the run's own and goes with it."""
    with running(run, None):
        dspy.settings.trace.append("said")
        assert dspy.settings.disable_history
    with running(run, None):
        assert dspy.settings.trace == []
        assert not dspy.settings.track_usage
        assert not dspy.settings.warn_on_type_mismatch


def test_the_lm_is_the_one_given(run: Run) -> None:
    """A program that names no LM gets the service's; one that has set its own globally keeps that."""
    lm, other = object(), object()
    with dspy.context(lm=other):
        with running(run, lm):
            assert dspy.settings.lm is lm
        with running(run, None):
            assert dspy.settings.lm is other


def test_only_a_watched_run_pays_for_being_watched(run: Run) -> None:
    """DSPy's callbacks cost every call; the operator's own stay in place."""
    own = BaseCallback()
    with dspy.context(callbacks=[own]):
        with running(run, None):
            assert dspy.settings.callbacks == [own]
        run.is_watched = True
        with running(run, None):
            assert dspy.settings.callbacks[0] is own
            assert isinstance(dspy.settings.callbacks[1], AnswerWatch)
