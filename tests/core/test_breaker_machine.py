"""The breaker beside a naive model of its rules, under any sequence of events."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from agent_service.core.breaker import Breaker, BreakerOptions, BreakerState, Permit
from agent_service.core.errors import CircuitBreakerOpenError
from agent_service.testing import FakeClock

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
OPTIONS = BreakerOptions(
    failure_threshold=3,
    open_seconds=10.0,
    window_seconds=24.0,
    slow_call_seconds=5.0,
    half_open_probes=2,
    probe_lease_seconds=8.0,
)
BUCKET_SECONDS = OPTIONS.window_seconds / 12


@dataclass(eq=False)
class Line:
    """One outcome in the model's list."""

    at_seconds: float
    failed: bool
    slow: bool


@dataclass(eq=False)
class Issued:
    """A permit as the model sees it."""

    permit: Permit
    asked_at_seconds: float
    era: Era
    overdue: Line | None = None
    reported: bool = False


@dataclass(eq=False)
class Era:
    """Everything the model knows since the last change of state; lists that are searched as a whole."""

    state: BreakerState
    until_seconds: float = 0.0
    lines: list[Line] = field(default_factory=list)
    in_flight: list[Issued] = field(default_factory=list)
    row: int = 0
    successes: int = 0

    def live_probes(self, now: float) -> list[Issued]:
        """Probes whose lease has not expired."""
        return [
            probe for probe in self.in_flight if now - probe.asked_at_seconds < OPTIONS.probe_lease_seconds
        ]

    def is_failing(self, now: float) -> bool:
        """The rule for opening, said plainly; hanging calls are written down first."""
        for issued in self.in_flight:
            if issued.overdue is None and now - issued.asked_at_seconds > OPTIONS.slow_call_seconds:
                issued.overdue = Line(now, failed=False, slow=True)
                self.lines.append(issued.overdue)
        oldest = math.floor(now / BUCKET_SECONDS) - 11
        seen = [line for line in self.lines if math.floor(line.at_seconds / BUCKET_SECONDS) >= oldest]
        failed, slow = sum(line.failed for line in seen), sum(line.slow for line in seen)
        enough = len(seen) >= 2 * OPTIONS.failure_threshold
        return self.row >= OPTIONS.failure_threshold or (
            enough and (failed >= len(seen) * OPTIONS.failure_rate or slow >= len(seen) * OPTIONS.slow_rate)
        )


class BreakerMachine(RuleBasedStateMachine):
    """Callers ask, report in any order and late; time passes; operators reset."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.moves: list[tuple[BreakerState, BreakerState]] = []
        self.breaker = Breaker(
            OPTIONS,
            clock=self.clock,
            random=Random(7),
            on_move=lambda before, after: self.moves.append((before, after)),
        )
        self.era = Era(CLOSED)
        self.factor = 1.0
        self.expected_moves: list[tuple[BreakerState, BreakerState]] = []

    @property
    def now(self) -> float:
        """The clock's time."""
        return self.clock.monotonic()

    def move(self, after: BreakerState, until_seconds: float = 0.0) -> None:
        """The model changes state and forgets."""
        if after is not self.era.state:
            self.expected_moves.append((self.era.state, after))
        self.factor = 1.0 if after is CLOSED else self.factor
        self.era = Era(after, until_seconds)

    def open_again(self) -> None:
        """A probe failed: how long it stays open is within the jitter of the doubled time, and then known."""
        self.factor = min(2 * self.factor, OPTIONS.max_backoff_factor)
        refusal = self.breaker.refusal()
        assert refusal is not None
        assert refusal.retry_after_seconds is not None
        doubled = OPTIONS.open_seconds * self.factor
        assert abs(refusal.retry_after_seconds - doubled) <= OPTIONS.jitter * doubled
        self.move(OPEN, self.now + refusal.retry_after_seconds)

    def is_admitting(self) -> bool:
        """Whether the model lets a call through now."""
        if self.era.state is HALF_OPEN:
            return len(self.era.live_probes(self.now)) + self.era.successes < OPTIONS.half_open_probes
        return self.era.state is CLOSED or self.now >= self.era.until_seconds

    @rule(target=permits, many=st.integers(1, 4))
    def ask(self, many: int) -> Issued | None:
        """Some ask at once: each is admitted exactly when the model says so, as ``refusal`` foretold."""
        issued = None
        for _ in range(many):
            foretold, admitting = self.breaker.refusal(), self.is_admitting()
            answer = self.answer()
            if isinstance(answer, CircuitBreakerOpenError):
                assert not admitting
                assert foretold is not None
                assert foretold.retry_after_seconds == answer.retry_after_seconds
            else:
                assert admitting
                assert foretold is None
                issued = self.admit(answer)
        return issued

    def answer(self) -> Permit | CircuitBreakerOpenError:
        """What ``ask`` gives or raises."""
        try:
            return self.breaker.ask()
        except CircuitBreakerOpenError as refused:
            return refused

    def admit(self, permit: Permit) -> Issued:
        """The model notes a call."""
        if self.era.state is OPEN:
            self.move(HALF_OPEN)
        issued = Issued(permit, self.now, self.era)
        self.era.in_flight.append(issued)
        return issued

    @rule(issued=permits, outcome=st.sampled_from(["success", "failure", "failure", "ignore"]))
    def report(self, issued: Issued | None, outcome: str) -> None:
        """Somebody reports, perhaps again, perhaps long after the change of state."""
        if issued is None:
            return
        getattr(issued.permit, outcome)()
        if issued.reported or issued.era is not self.era:
            return
        issued.reported = True
        if self.era.state is HALF_OPEN:
            self.report_probe(issued, outcome)
        else:
            self.report_call(issued, outcome)

    def report_probe(self, issued: Issued, outcome: str) -> None:
        """In half-open: only a live probe has a say."""
        if issued not in self.era.live_probes(self.now):
            return
        self.era.in_flight.remove(issued)
        slow = self.now - issued.asked_at_seconds > OPTIONS.slow_call_seconds
        if outcome == "failure" or (outcome == "success" and slow):
            self.open_again()
        elif outcome == "success":
            self.era.successes += 1
            if self.era.successes == OPTIONS.half_open_probes:
                self.move(CLOSED)

    def report_call(self, issued: Issued, outcome: str) -> None:
        """In closed: one line in the list, and the row of failures."""
        era = self.era
        era.in_flight.remove(issued)
        if outcome == "ignore":
            return
        if issued.overdue is not None:
            era.lines.remove(issued.overdue)
        slow = self.now - issued.asked_at_seconds > OPTIONS.slow_call_seconds
        era.lines.append(Line(self.now, failed=outcome == "failure", slow=slow))
        era.row = era.row + 1 if outcome == "failure" else 0

    @rule(quarters=st.sampled_from([1, 2, 5, 20, 21, 32, 40, 80, 97, 200]))
    def wait(self, quarters: int) -> None:
        """Time passes."""
        self.clock.advance(quarters / 4)

    @rule(quarters=st.sampled_from([-2, -1, 0]))
    def wait_for_the_end_of_the_rest(self, quarters: int) -> None:
        """Time passes until the open time is over, or nearly so."""
        self.clock.advance(max(0.0, self.era.until_seconds + quarters / 4 - self.now))

    @rule(days=st.sampled_from([-1, 1]))
    def set_the_wall_clock(self, days: int) -> None:
        """An operator changes the time of day, which moves nothing."""
        self.clock.step_wall(days * 86_400)

    @rule()
    def obey(self) -> None:
        """Who comes back when told to is admitted, or finds it half-open."""
        refusal = self.breaker.refusal()
        if refusal is not None and refusal.retry_after_seconds is not None:
            assert refusal.retry_after_seconds > 0
            self.clock.advance(math.ceil(refusal.retry_after_seconds))
            assert self.breaker.refusal() is None or self.breaker.state is HALF_OPEN

    @rule()
    def trip(self) -> None:
        """A closed breaker meets an outage."""
        while self.era.state is CLOSED:
            issued = self.ask(many=1)
            self.report(issued, "failure")
            self.model_and_breaker_agree()

    @rule()
    def reset(self) -> None:
        """An operator closes it by hand."""
        self.breaker.reset()
        self.move(CLOSED)

    @invariant()
    def model_and_breaker_agree(self) -> None:
        """The same state, and each change told once."""
        if self.era.state is CLOSED and self.era.is_failing(self.now):
            self.move(OPEN, self.now + OPTIONS.open_seconds)
        assert self.breaker.state is self.era.state
        assert self.moves == self.expected_moves

    def teardown(self) -> None:
        """With a healthy upstream and time it closes, whatever happened before."""
        for _ in range(2):
            self.clock.advance(OPTIONS.open_seconds * OPTIONS.max_backoff_factor * 2)
            for _ in range(OPTIONS.half_open_probes):
                if self.breaker.refusal() is None:
                    self.breaker.ask().success()
        assert self.breaker.state is CLOSED


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
