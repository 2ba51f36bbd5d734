"""Interruptions: cancellations of tasks that are ours, told apart from others' and taken back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from agent_service.core.clock import Clock


class Interruptions:
    """The steps that one run awaits, each to be ended by an interruption of all or by its own limit.

    Args:
        clock: measures the limits.

    Attributes:
        steps: how many each task is in.
        interrupted: the tasks whose interruption was not taken back.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.steps: dict[asyncio.Task[object], int] = {}
        self.interrupted: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        return f"<Interruptions of {len(self.steps)} tasks, {len(self.interrupted)} under way>"

    def interrupt(self) -> None:
        """End what every task awaits within its step, but the current one's; once while it cleans up."""
        current = asyncio.current_task()
        for task in list(self.steps):
            if task is not current and task not in self.interrupted:
                self.interrupted.add(task)
                task.cancel()

    def take_back(self, task: asyncio.Task[object]) -> bool:
        """Whether ``task`` was interrupted; from now on it may be again."""
        if task not in self.interrupted:
            return False
        self.interrupted.discard(task)
        return True


class Step:
    """Within, the task that enters it may be interrupted; a cancellation by somebody else stays one.

    Steps may be nested. A class, not a generator: each call of a model is such a step.

    Args:
        all_steps: what interrupts it with all others.
        limit_seconds: its own limit, or None.
        when_interrupted: raises what it ends with when one of the two ended it.
    """

    __slots__ = (
        "_all",
        "_cancelled_before",
        "_limit_passed",
        "_limit_seconds",
        "_task",
        "_timer",
        "_when_interrupted",
    )

    def __init__(
        self,
        all_steps: Interruptions,
        limit_seconds: float | None,
        when_interrupted: Callable[[], NoReturn],
    ) -> None:
        self._all = all_steps
        self._limit_seconds = limit_seconds
        self._when_interrupted = when_interrupted
        self._limit_passed = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - a context manager of coroutines
            raise RuntimeError("a step needs a task")
        self._task: asyncio.Task[object] = task
        self._cancelled_before = _cancellations(task)
        limit_seconds = self._limit_seconds
        self._timer = None if limit_seconds is None else self._all.clock.call_later(limit_seconds, self._pass)
        steps = self._all.steps
        steps[task] = steps.get(task, 0) + 1

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        steps = self._all.steps
        steps[self._task] -= 1
        if not steps[self._task]:
            del steps[self._task]
        if error is None and not self._limit_passed and not self._all.interrupted:
            return
        ours = self._withdraw_cancellation()
        if not ours or not isinstance(error, asyncio.CancelledError):
            return
        if _cancellations(self._task) <= self._cancelled_before:
            self._when_interrupted()

    def _withdraw_cancellation(self) -> bool:
        """Take back what an interruption and the limit did to the task; false when neither did anything."""
        ours = self._all.take_back(self._task) + self._limit_passed
        for _ in range(ours):
            _uncancel(self._task)
        return ours > 0

    def _pass(self) -> None:
        """The limit is over: remember that it was this which cancelled the task."""
        self._limit_passed = True
        self._task.cancel()


def _not_counted(_: asyncio.Task[object]) -> int:
    return 0


_cancellations: Callable[[asyncio.Task[object]], int] = getattr(asyncio.Task, "cancelling", _not_counted)
"""How many cancellations a task has not got over (Python 3.10 does not count them)."""


def _uncancel(task: asyncio.Task[object]) -> None:
    """Take one cancellation back, where they are counted."""
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()
