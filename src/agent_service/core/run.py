"""The run: one query on its way through a program, consulted at every seam.

A stop is a ``BaseException``, because DSPy's agents turn every ``Exception`` of a tool into an
observation and its callbacks swallow them. Stopping happens on the service's event loop; checking
and counting may happen on any thread, since sync programs run in threads of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from agent_service.core.errors import (
    BudgetExhaustedError,
    CancelledByCallerError,
    DeadlineExceededError,
    ServiceError,
    ShuttingDownError,
)
from agent_service.core.messages import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_service.core.clock import Clock, Deadline
    from agent_service.core.observer import Event, Observer


class StopReason(Enum):
    """Why a run may not go on; the value is the error's code."""

    DEADLINE = DeadlineExceededError.code
    CALLER_LEFT = CancelledByCallerError.code
    SHUTDOWN = ShuttingDownError.code
    BUDGET = BudgetExhaustedError.code

    def error(self) -> ServiceError:
        """What the caller is told."""
        return _STOP_ERRORS[self]()


_STOP_ERRORS: dict[StopReason, type[ServiceError]] = {
    StopReason.DEADLINE: DeadlineExceededError,
    StopReason.CALLER_LEFT: CancelledByCallerError,
    StopReason.SHUTDOWN: ShuttingDownError,
    StopReason.BUDGET: BudgetExhaustedError,
}


class RunStoppedError(BaseException):
    """The run was stopped; nothing more may start. Not an ``Exception``, so that no agent handles it."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StepTimeoutError(Exception):
    """One step took longer than its own limit, while the run's deadline has not passed."""


class Run:
    """Deadline, stop, events and counts of one query.

    Args:
        request_id: identity of the query in events and logs.
        deadline: when the program must be over.
        clock: where time comes from.
        observer: who is told of every event.
    """

    def __init__(self, *, request_id: str, deadline: Deadline, clock: Clock, observer: Observer) -> None:
        self.request_id = request_id
        self.deadline = deadline
        self.clock = clock
        self.usage = Usage()
        self.tools_used: tuple[str, ...] = ()
        self._observer = observer
        self._reason: StopReason | None = None
        self._complete = False
        self._interruptible: Counter[asyncio.Task[object]] = Counter()
        self._interrupted: set[asyncio.Task[object]] = set()
        self._outstanding: set[asyncio.Future[object]] = set()
        self._when_stopped: asyncio.Future[StopReason] | None = None
        self._counts = threading.Lock()

    def __repr__(self) -> str:
        state = self._reason.value if self._reason else "running"
        return (
            f"<Run {self.request_id} {state}, {self.reasoning_steps} steps, {self.usage.lm_calls} LM calls>"
        )

    @property
    def reasoning_steps(self) -> int:
        """Tool steps taken so far; an agent's finishing step is not one."""
        return len(self.tools_used)

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the run was stopped, or None while it may go on."""
        return self._reason

    def emit(self, event: Event) -> None:
        """Tell the listeners."""
        self._observer.observe(event)

    def count_tool_step(self, tool: str) -> int:
        """Note that ``tool`` is called; returns the step's number, from 1."""
        with self._counts:
            self.tools_used = (*self.tools_used, tool)
            return len(self.tools_used)

    def count_lm_call(self, usage: Usage) -> None:
        """Add what one LM call used."""
        with self._counts:
            self.usage = self.usage + usage

    def check(self) -> None:
        """Consulted before every step.

        Raises:
            RunStoppedError: when the run was stopped or its deadline passed.
        """
        if self._reason is None and self.deadline.passed():
            self._reason = StopReason.DEADLINE
        if self._reason is not None:
            raise RunStoppedError(self._reason)

    def stop(self, reason: StopReason) -> None:
        """End the run: steps in flight are interrupted, none begins again. The first reason stays.

        Call it on the service's event loop. A run that is complete has nothing left to stop.
        """
        if self._complete:
            return
        if self._reason is None:
            self._reason = reason
        if self._when_stopped is not None and not self._when_stopped.done():
            self._when_stopped.set_result(self._reason)
        current = asyncio.current_task()
        for task in list(self._interruptible):
            if task is not current and task not in self._interrupted:
                self._interrupted.add(task)
                task.cancel()

    def complete(self) -> None:
        """The program has answered; what is left, storing the turn, is not to be stopped."""
        self._complete = True

    def when_stopped(self) -> asyncio.Future[StopReason]:
        """A future that resolves when the run is stopped; the same one at each call."""
        if self._when_stopped is None:
            self._when_stopped = asyncio.get_running_loop().create_future()
            if self._reason is not None:
                self._when_stopped.set_result(self._reason)
        return self._when_stopped

    @contextmanager
    def stopped_at_deadline(self) -> Iterator[None]:
        """Within, the passing of the deadline stops the run without anybody asking."""
        timer = self.clock.call_later(
            self.deadline.remaining_seconds(), lambda: self.stop(StopReason.DEADLINE)
        )
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def interruptible(self, limit_seconds: float | None = None) -> Iterator[None]:
        """Within, a stop ends what the current task awaits, and so does the step's own limit.

        Raises:
            RunStoppedError: at once when stopped already, later when stopped meanwhile.
            StepTimeoutError: when ``limit_seconds`` went by first.
        """
        self.check()
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - a context manager of coroutines
            raise RuntimeError("interruptible() needs a task")
        cancelled_before = _cancellations(task)
        step = _StepLimit(self.clock, task, limit_seconds)
        self._interruptible[task] += 1
        try:
            yield
        except asyncio.CancelledError:
            if not self._withdraw_cancellation(task, step) or _cancellations(task) > cancelled_before:
                raise
            self.check()
            raise StepTimeoutError from None
        finally:
            step.disarm()
            self._withdraw_cancellation(task, step)
            self._interruptible[task] -= 1
            if not self._interruptible[task]:
                del self._interruptible[task]

    def _withdraw_cancellation(self, task: asyncio.Task[object], step: _StepLimit) -> bool:
        """Take back what a stop and the step's limit did to the task; false when neither did anything."""
        ours = (task in self._interrupted) + step.passed
        self._interrupted.discard(task)
        step.passed = False
        for _ in range(ours):
            _uncancel(task)
        return ours > 0

    def hold_for(self, work: asyncio.Future[object]) -> None:
        """The run's slot stays taken until ``work`` is done, because threads cannot be interrupted."""
        self._outstanding.add(work)
        work.add_done_callback(self._outstanding.discard)

    @property
    def is_settled(self) -> bool:
        """Whether no work of this run is left."""
        return not self._outstanding

    async def settled(self) -> None:
        """Wait until no work of this run is left."""
        while self._outstanding:
            await asyncio.wait(set(self._outstanding))


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
