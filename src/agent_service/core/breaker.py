"""The circuit breaker: stops calling an upstream that fails, and finds out carefully when it is back.

States by their standard names (M. Nygard, "Release It!"). As in sony/gobreaker, a permit is asked for
first and reported on later, and carries the generation it was given in, so that a result from before a
change of state moves nothing. Half-open gives a few leases to probe; they expire, lest it last for ever.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from agent_service.core.breaker_window import Call, CallWindow
from agent_service.core.errors import CircuitBreakerOpenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from agent_service.core.clock import Clock

_PROBES_BUSY_RETRY_AFTER_SECONDS = 1.0


class BreakerState(Enum):
    """Closed lets calls through, open refuses them, half-open lets a few probes through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """When to open and how to come back.

    Attributes:
        failure_threshold: failures in a row that open it; twice as many calls make the rates count.
        open_seconds: how long it stays open the first time.
        window_seconds: how long a call counts for the rates.
        slow_call_seconds: a call that takes longer is slow, also while it is in flight.
        failure_rate: share of failed calls in the window that opens it.
        slow_rate: share of slow calls in the window that opens it.
        half_open_probes: successful probes that close it, and probes at the same time; a slow one has failed.
        probe_lease_seconds: a probe that has not reported by then is given to somebody else.
        max_backoff_factor: each failed probe doubles the open time, up to this many times ``open_seconds``.
        jitter: share by which a doubled open time varies, so that workers do not probe in step.
    """

    failure_threshold: int = 5
    open_seconds: float = 30.0
    window_seconds: float = 60.0
    slow_call_seconds: float = 20.0
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    half_open_probes: int = 2
    probe_lease_seconds: float = 30.0
    max_backoff_factor: float = 4.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for name in ("failure_threshold", "half_open_probes", "max_backoff_factor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("open_seconds", "window_seconds", "slow_call_seconds", "probe_lease_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1")
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter must be at least 0 and below 1")


class _Outcome(Enum):
    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


class Permit:
    """Leave to make one call. Report exactly once how it ended; a later report does nothing."""

    __slots__ = ("_report", "call", "generation")

    def __init__(self, report: Callable[[Permit, _Outcome], None], generation: int, call: Call) -> None:
        self.generation = generation
        self.call = call
        self._report: Callable[[Permit, _Outcome], None] | None = report

    def __repr__(self) -> str:
        return f"<Permit of generation {self.generation}, {'in use' if self._report else 'reported'}>"

    def success(self) -> None:
        """The upstream is alive: it answered, though maybe with a refusal of this request."""
        self._settle(_Outcome.SUCCESS)

    def failure(self) -> None:
        """The upstream failed or could not be reached."""
        self._settle(_Outcome.FAILURE)

    def ignore(self) -> None:
        """The call says nothing of the upstream: it was cancelled, or limited by our own quota."""
        self._settle(_Outcome.IGNORED)

    def _settle(self, outcome: _Outcome) -> None:
        report, self._report = self._report, None
        if report is not None:
            report(self, outcome)


@dataclass(slots=True)
class _Generation:
    """All that dies with a change of state."""

    number: int
    state: BreakerState
    window: CallWindow
    failures_in_a_row: int = 0
    successes: int = 0
    probes: set[Permit] = field(default_factory=set)


class Breaker:
    """Guards one upstream. Safe to use from any thread, since sync programs call from their own.

    Args:
        options: when to open and how to come back.
        clock: only its monotonic time is read.
        random: where the jitter comes from.
        on_move: told of each change of state, once, as (before, after); must return at once.
    """

    def __init__(
        self,
        options: BreakerOptions,
        *,
        clock: Clock,
        random: Random,
        on_move: Callable[[BreakerState, BreakerState], None],
    ) -> None:
        self._options = options
        self._clock = clock
        self._random = random
        self._on_move = on_move
        self._lock = threading.RLock()
        self._open_until_seconds = 0.0
        self._backoff_factor = 1.0
        self._current = self._new_generation(0, BreakerState.CLOSED)

    def __repr__(self) -> str:
        now = self._current
        return f"<Breaker {now.state.value}, generation {now.number}, {len(now.probes)} probes>"

    @property
    def state(self) -> BreakerState:
        """Where it stands. When the open time is over it stays open until an ``ask`` makes it half-open."""
        with self._lock:
            self._judge(self._clock.monotonic())
            return self._current.state

    def ask(self) -> Permit:
        """Take leave for one call.

        Raises:
            CircuitBreakerOpenError: not now; says when to come back.
        """
        with self._lock:
            now_seconds = self._clock.monotonic()
            if self._is_well(now_seconds):
                return self._admit(now_seconds)
            retry_after_seconds = self._retry_after_seconds(now_seconds)
            if retry_after_seconds is not None:
                raise CircuitBreakerOpenError(retry_after_seconds=retry_after_seconds)
            if self._current.state is BreakerState.OPEN:
                self._move(BreakerState.HALF_OPEN)
            return self._admit(now_seconds)

    def refusal(self) -> CircuitBreakerOpenError | None:
        """What ``ask`` would raise now, or None. Takes no permit and makes nothing half-open."""
        with self._lock:
            retry_after_seconds = self._retry_after_seconds(self._clock.monotonic())
        if retry_after_seconds is None:
            return None
        return CircuitBreakerOpenError(retry_after_seconds=retry_after_seconds)

    def reset(self) -> None:
        """Close it by hand. Calls in flight no longer count."""
        with self._lock:
            self._move(BreakerState.CLOSED)

    def _retry_after_seconds(self, now_seconds: float) -> float | None:
        """When to come back, or None when a call is let through now."""
        self._judge(now_seconds)
        current = self._current
        if current.state is BreakerState.OPEN and now_seconds < self._open_until_seconds:
            return self._open_until_seconds - now_seconds
        if current.state is BreakerState.HALF_OPEN:
            self._reclaim(now_seconds)
            if len(current.probes) + current.successes >= self._options.half_open_probes:
                return _PROBES_BUSY_RETRY_AFTER_SECONDS
        return None

    def _admit(self, now_seconds: float) -> Permit:
        current = self._current
        if current.state is BreakerState.CLOSED:
            return Permit(self._report, current.number, current.window.begin(now_seconds))
        probe = Permit(self._report, current.number, Call(now_seconds))
        current.probes.add(probe)
        return probe

    def _report(self, permit: Permit, outcome: _Outcome) -> None:
        with self._lock:
            now_seconds = self._clock.monotonic()
            was_well = self._judge(now_seconds)
            if permit.generation != self._current.number:
                return
            if self._current.state is BreakerState.HALF_OPEN:
                self._report_probe(permit, outcome, now_seconds)
            else:
                self._report_call(permit, outcome, now_seconds, was_well=was_well)

    def _report_call(self, permit: Permit, outcome: _Outcome, now_seconds: float, *, was_well: bool) -> None:
        current = self._current
        if outcome is _Outcome.IGNORED:
            current.window.forget(permit.call)
            return
        failed = outcome is _Outcome.FAILURE
        current.failures_in_a_row = current.failures_in_a_row + 1 if failed else 0
        if not current.window.finish(permit.call, now_seconds, failed=failed) or not was_well:
            self._judge(now_seconds)

    def _report_probe(self, permit: Permit, outcome: _Outcome, now_seconds: float) -> None:
        current = self._current
        self._reclaim(now_seconds)
        if permit not in current.probes:
            return
        current.probes.remove(permit)
        slow = now_seconds - permit.call.begun_at_seconds > self._options.slow_call_seconds
        if outcome is _Outcome.FAILURE or (slow and outcome is _Outcome.SUCCESS):
            self._reopen(now_seconds)
        elif outcome is _Outcome.SUCCESS:
            current.successes += 1
            if current.successes == self._options.half_open_probes:
                self._move(BreakerState.CLOSED)

    def _reclaim(self, now_seconds: float) -> None:
        """Take the lease from probes that hang; their late report is void."""
        begun_after_seconds = now_seconds - self._options.probe_lease_seconds
        probes = self._current.probes
        probes -= {probe for probe in probes if probe.call.begun_at_seconds <= begun_after_seconds}

    def _is_well(self, now_seconds: float) -> bool:
        closed, current = BreakerState.CLOSED, self._current
        quiet = current.state is closed and not current.failures_in_a_row
        return quiet and current.window.is_flawless(now_seconds)

    def _judge(self, now_seconds: float) -> bool:
        """Open when closed and the upstream has failed enough by now; returns whether nothing was amiss."""
        well = self._is_well(now_seconds)
        if not well and self._current.state is BreakerState.CLOSED and self._is_failing(now_seconds):
            self._open(now_seconds, self._options.open_seconds)
        return well

    def _is_failing(self, now_seconds: float) -> bool:
        options = self._options
        if self._current.failures_in_a_row >= options.failure_threshold:
            return True
        counts = self._current.window.counts(now_seconds)
        return counts.calls >= 2 * options.failure_threshold and (
            counts.failures / counts.calls >= options.failure_rate
            or counts.slow / counts.calls >= options.slow_rate
        )

    def _reopen(self, now_seconds: float) -> None:
        """Open for longer than before: doubled up to the limit, then spread."""
        options = self._options
        self._backoff_factor = min(2 * self._backoff_factor, options.max_backoff_factor)
        spread = 1 + self._random.uniform(-options.jitter, options.jitter)
        self._open(now_seconds, options.open_seconds * self._backoff_factor * spread)

    def _open(self, now_seconds: float, for_seconds: float) -> None:
        self._open_until_seconds = now_seconds + for_seconds
        self._move(BreakerState.OPEN)

    def _move(self, after: BreakerState) -> None:
        """Begin the next generation in ``after``; everything counted so far is void."""
        before = self._current.state
        self._current = self._new_generation(self._current.number + 1, after)
        if after is BreakerState.CLOSED:
            self._backoff_factor = 1.0
        if before is not after:
            self._on_move(before, after)

    def _new_generation(self, number: int, state: BreakerState) -> _Generation:
        options = self._options
        window = CallWindow(span_seconds=options.window_seconds, slow_call_seconds=options.slow_call_seconds)
        return _Generation(number, state, window)
