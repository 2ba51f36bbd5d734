"""Interruptions: cancellations of tasks that are ours, told apart from others' and taken back."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from agent_service.core.clock import Clock


class Interruptions:
    """The steps that one run awaits, each to be ended by an interruption of all or by its own limit.

    Args:
        clock: measures the limits.
        when_interrupted: raises what a step ends with that one of the two ended.
    """

    def __init__(self, clock: Clock, *, when_interrupted: Callable[[], NoReturn]) -> None:
        self._clock = clock
        self._when_interrupted = when_interrupted
        self._steps: Counter[asyncio.Task[object]] = Counter()
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

    @contextmanager
    def step(self, limit_seconds: float | None) -> Iterator[None]:
        """Within, the current task may be interrupted; a cancellation by somebody else stays one."""
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - a context manager of coroutines
            raise RuntimeError("a step needs a task")
        cancelled_before = _cancellations(task)
        limit = _StepLimit(self._clock, task, limit_seconds)
        self._steps[task] += 1
        try:
            yield
        except asyncio.CancelledError:
            if not self._withdraw_cancellation(task, limit) or _cancellations(task) > cancelled_before:
                raise
            self._when_interrupted()
        finally:
            limit.disarm()
            self._withdraw_cancellation(task, limit)
            self._steps[task] -= 1
            if not self._steps[task]:
                del self._steps[task]

    def _withdraw_cancellation(self, task: asyncio.Task[object], limit: _StepLimit) -> bool:
        """Take back what an interruption and the limit did to the task; false when neither did anything."""
        ours = (task in self._interrupted) + limit.passed
        self._interrupted.discard(task)
        limit.passed = False
        for _ in range(ours):
            _uncancel(task)
        return ours > 0


class _StepLimit:
    """A timer that cancels a task and remembers that it did."""

    def __init__(self, clock: Clock, task: asyncio.Task[object], limit_seconds: float | None) -> None:
        self.passed = False
        self._task = task
        self._timer = None if limit_seconds is None else clock.call_later(limit_seconds, self._pass)

    def _pass(self) -> None:
        self.passed = True
        self._task.cancel()

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _cancellations(task: asyncio.Task[object]) -> int:
    """How many cancellations the task has not got over (Python 3.10 does not count them)."""
    cancelling = getattr(task, "cancelling", None)
    return int(cancelling()) if cancelling is not None else 0


def _uncancel(task: asyncio.Task[object]) -> None:
    """Take one cancellation back, where they are counted."""
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()
