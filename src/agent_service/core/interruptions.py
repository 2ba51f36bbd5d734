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
        when_interrupted: raises what a step ends with that one of the two ended.
    """

    def __init__(self, clock: Clock, *, when_interrupted: Callable[[], NoReturn]) -> None:
        self.clock = clock
        self.when_interrupted = when_interrupted
        self._steps: dict[asyncio.Task[object], int] = {}
        self._interrupted: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        return f"<Interruptions of {len(self._steps)} tasks, {len(self._interrupted)} under way>"

    def interrupt(self) -> None:
        """End what every task awaits within its step, but the current one's; once while it cleans up."""
        current = asyncio.current_task()
        for task in list(self._steps):
            if task is not current and task not in self._interrupted:
                self._interrupted.add(task)
                task.cancel()

    def step(self, limit_seconds: float | None) -> Step:
        """Within, the current task may be interrupted; a cancellation by somebody else stays one."""
        return Step(self, limit_seconds)

    def begin(self, task: asyncio.Task[object]) -> None:
        """A step of ``task`` begins; steps may be nested."""
        self._steps[task] = self._steps.get(task, 0) + 1

    def end(self, task: asyncio.Task[object]) -> None:
        """A step of ``task`` is over."""
        left = self._steps[task] - 1
        if left:
            self._steps[task] = left
        else:
            del self._steps[task]

    @property
    def any_interrupted(self) -> bool:
        """Whether there is a task whose interruption was not taken back."""
        return bool(self._interrupted)

    def take_back(self, task: asyncio.Task[object]) -> bool:
        """Whether ``task`` was interrupted; from now on it may be again."""
        if task not in self._interrupted:
            return False
        self._interrupted.discard(task)
        return True


class Step:
    """One step of the task that enters it. A class, not a generator: each call of a model is such a step."""

    __slots__ = ("_all", "_cancelled_before", "_limit_passed", "_limit_seconds", "_task", "_timer")

    def __init__(self, all_steps: Interruptions, limit_seconds: float | None) -> None:
        self._all = all_steps
        self._limit_seconds = limit_seconds
        self._limit_passed = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - a context manager of coroutines
            raise RuntimeError("a step needs a task")
        self._task: asyncio.Task[object] = task
        self._cancelled_before = _cancellations(task)
        limit_seconds = self._limit_seconds
        self._timer = None if limit_seconds is None else self._all.clock.call_later(limit_seconds, self._pass)
        self._all.begin(task)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._all.end(self._task)
        if error is None and not self._limit_passed and not self._all.any_interrupted:
            return
        ours = self._withdraw_cancellation()
        if not ours or not isinstance(error, asyncio.CancelledError):
            return
        if _cancellations(self._task) <= self._cancelled_before:
            self._all.when_interrupted()

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
