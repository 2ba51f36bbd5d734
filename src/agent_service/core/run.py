"""The run: one query on its way through a program, consulted at every seam.

A stop is a ``BaseException``, because DSPy's agents turn every ``Exception`` of a tool into an
observation and its callbacks swallow them. Stopping happens on the service's event loop; checking
and counting may happen on any thread, since sync programs run in threads of their own.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import _get_running_loop
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from agent_service.core.errors import (
    BudgetExhaustedError,
    CancelledByCallerError,
    ConflictError,
    DeadlineExceededError,
    ServiceError,
    ShuttingDownError,
)
from agent_service.core.interruptions import Interruptions, Step
from agent_service.core.messages import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_service.core.clock import Clock, Deadline
    from agent_service.core.observer import Event, Observer


class StopReason(Enum):
    """Why a run may not go on; the value is the error's code."""

    DEADLINE = DeadlineExceededError.code
    CALLER_LEFT = CancelledByCallerError.code
    SHUTDOWN = ShuttingDownError.code
    BUDGET = BudgetExhaustedError.code
    ERASED = ConflictError.code

    def error(self, detail: str | None = None) -> ServiceError:
        """What the caller is told, in words of this time where there are some."""
        return _STOP_ERRORS[self](detail)


_ERASED = "The conversation was erased while the question was being answered."
_STOP_ERRORS: dict[StopReason, Callable[[str | None], ServiceError]] = {
    StopReason.DEADLINE: DeadlineExceededError,
    StopReason.CALLER_LEFT: CancelledByCallerError,
    StopReason.SHUTDOWN: ShuttingDownError,
    StopReason.BUDGET: BudgetExhaustedError,
    StopReason.ERASED: lambda detail: ConflictError(detail or _ERASED),
}


class RunStoppedError(BaseException):
    """The run was stopped; nothing more may start. Not an ``Exception``, so that no agent handles it."""

    def __init__(self, reason: StopReason, detail: str | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail

    def error(self) -> ServiceError:
        """What the caller is told."""
        return self.reason.error(self.detail)


class StepTimeoutError(Exception):
    """One step took longer than its own limit, while the run's deadline has not passed."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one query may use; None is without limit.

    Attributes:
        lm_calls: calls of language models, retries included.
        tokens: prompt and completion tokens. A call's are known when it has ended, so calls that are
            in flight when the budget is reached may exceed it.
        tool_steps: tool calls.
    """

    lm_calls: int | None = None
    tokens: int | None = None
    tool_steps: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("lm_calls", 1), ("tokens", 1), ("tool_steps", 0)):
            if (limit := getattr(self, name)) is not None and limit < least:
                raise ValueError(f"{name} must be at least {least}")


class Run:
    """Deadline, budgets, stop, events and counts of one query.

    Args:
        request_id: identity of the query in events and logs.
        deadline: when the program must be over.
        clock: where time comes from.
        observer: who is told of every event.
        limits: what the query may use.
        is_watched: whether somebody follows the run, for whom its events carry arguments and answer's text.
    """

    def __init__(
        self,
        *,
        request_id: str,
        deadline: Deadline,
        clock: Clock,
        observer: Observer,
        limits: RunLimits = RunLimits(),
        is_watched: bool = False,
    ) -> None:
        self.request_id = request_id
        self.deadline = deadline
        self.clock = clock
        self.limits = limits
        self.is_watched = is_watched
        self.tools_used: tuple[str, ...] = ()
        self.answered_by = ""
        self._observer = observer
        self._reason: StopReason | None = None
        self._detail: str | None = None
        self._complete = False
        self._interruptions = Interruptions(clock)
        self._outstanding: set[asyncio.Future[object]] = set()
        self._when_stopped: asyncio.Future[StopReason] | None = None
        self._counts = threading.Lock()
        self._prompt_tokens = self._completion_tokens = self._lm_calls = 0

    def __repr__(self) -> str:
        state = self._reason.value if self._reason else "running"
        return f"<Run {self.request_id} {state}, {self.reasoning_steps} steps, {self._lm_calls} LM calls>"

    @property
    def usage(self) -> Usage:
        """What its calls of language models used so far."""
        with self._counts:
            return Usage(self._prompt_tokens, self._completion_tokens, self._lm_calls)

    @property
    def reasoning_steps(self) -> int:
        """Tool steps taken so far; an agent's finishing step is not one."""
        return len(self.tools_used)

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the run was stopped, or None while it may go on."""
        return self._reason

    def stopped_error(self) -> RunStoppedError | None:
        """The reason with its words, to be raised; None while the run may go on."""
        return None if self._reason is None else RunStoppedError(self._reason, self._detail)

    def emit(self, event: Event) -> None:
        """Tell the listeners."""
        self._observer.observe(event)

    def count_tool_step(self, tool: str) -> int:
        """Note that ``tool`` is called; returns the step's number, from 1.

        Raises:
            RunStoppedError: when the budget of tool steps is used up; the run is stopped.
        """
        limit = self.limits.tool_steps
        with self._counts:
            if limit is None or len(self.tools_used) < limit:
                self.tools_used = (*self.tools_used, tool)
                return len(self.tools_used)
        raise self._used_up(f"A query may take at most {limit} tool steps.")

    def begin_lm_call(self) -> None:
        """Note that a language model is called; consulted before each attempt.

        Raises:
            RunStoppedError: when the budget of calls or of tokens is used up; the run is stopped.
        """
        calls, tokens = self.limits.lm_calls, self.limits.tokens
        with self._counts:
            if calls is not None and self._lm_calls >= calls:
                detail = f"A query may make at most {calls} calls of language models."
            elif tokens is not None and self._prompt_tokens + self._completion_tokens >= tokens:
                detail = f"A query may use at most {tokens} tokens."
            else:
                self._lm_calls += 1
                return
        raise self._used_up(detail)

    def count_tokens(self, usage: Usage, *, lm_calls: int = 0) -> None:
        """Add the tokens that one LM call used; the call itself is counted when it begins."""
        with self._counts:
            self._lm_calls += lm_calls
            self._prompt_tokens += usage.prompt_tokens
            self._completion_tokens += usage.completion_tokens

    def count_lm_call(self, usage: Usage) -> None:
        """Add what one LM call used, the call included: for calls that were not counted at their begin."""
        self.count_tokens(usage, lm_calls=usage.lm_calls)

    def check(self) -> None:
        """Consulted before every step.

        Raises:
            RunStoppedError: when the run was stopped or its deadline passed.
        """
        if self._reason is None:
            if not self.deadline.passed():
                return
            self._reason = StopReason.DEADLINE
        raise RunStoppedError(self._reason, self._detail)

    def stop(self, reason: StopReason) -> None:
        """End the run: steps in flight are interrupted, none begins again. The first reason stays.

        Call it on the service's event loop; the task that does is not interrupted. A run that is complete
        has nothing left to stop.
        """
        if self._complete:
            return
        if self._reason is None:
            self._reason = reason
        if self._when_stopped is not None and not self._when_stopped.done():
            self._when_stopped.set_result(self._reason)
        self._interruptions.interrupt()

    def _used_up(self, detail: str) -> RunStoppedError:
        """Stop the run, from whatever thread a seam works on; returns what that seam raises."""
        if self._complete or self._reason is not None:
            return self.stopped_error() or RunStoppedError(StopReason.BUDGET, detail)
        self._reason, self._detail = StopReason.BUDGET, detail
        home = self._when_stopped.get_loop() if self._when_stopped is not None else None
        if home is not None and _get_running_loop() is home:
            self.stop(StopReason.BUDGET)
        elif home is not None:
            home.call_soon_threadsafe(self.stop, StopReason.BUDGET)
        return RunStoppedError(StopReason.BUDGET, detail)

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

    def interruptible(self, limit_seconds: float | None = None) -> Step:
        """Within, a stop ends what the current task awaits, and so does the step's own limit.

        It is entered at once, or not at all.

        Raises:
            RunStoppedError: at once when stopped already, later when stopped meanwhile.
            StepTimeoutError: when ``limit_seconds`` went by first.
        """
        self.check()
        return Step(self._interruptions, limit_seconds, self._end_step)

    def _end_step(self) -> NoReturn:
        """What a step that was interrupted raises."""
        self.check()
        raise StepTimeoutError from None

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
