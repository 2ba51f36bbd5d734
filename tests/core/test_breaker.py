"""Rules of the breaker, one by one: when it opens, how it comes back, what moves it and what does not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from agent_service.core.breaker import Breaker, BreakerOptions, BreakerState, Permit
from agent_service.core.errors import CircuitBreakerOpenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.testing import FakeClock

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Guarded:
    """A breaker with three failures to open, and what it told of its moves."""

    def __init__(self, clock: FakeClock, **options: float) -> None:
        chosen: dict[str, float] = {"failure_threshold": 3, "open_seconds": 10.0, **options}
        self.clock = clock
        self.moves: list[tuple[BreakerState, BreakerState]] = []
        self.breaker = Breaker(
            BreakerOptions(**chosen),  # type: ignore[arg-type] # whole numbers where they are needed
            clock=clock,
            random=Random(7),
            on_move=lambda before, after: self.moves.append((before, after)),
        )

    def call(self, *outcomes: str) -> None:
        """One call after the other, each with its outcome."""
        for outcome in outcomes:
            getattr(self.breaker.ask(), outcome)()

    def refusal(self) -> float:
        """The Retry-After of a refusal."""
        with pytest.raises(CircuitBreakerOpenError) as refused:
            self.breaker.ask()
        assert refused.value.retry_after_seconds is not None
        return refused.value.retry_after_seconds

    def trip(self) -> None:
        """Open it from closed."""
        self.call(*["failure"] * 3)
        assert self.breaker.state is OPEN

    def trip_and_wait(self) -> None:
        """Open it, and let its time go by."""
        self.trip()
        self.clock.advance(10.0)


@pytest.fixture
def guarded(clock: FakeClock) -> Guarded:
    """With the options that most tests need."""
    return Guarded(clock)


def test_failures_in_a_row_open_it(guarded: Guarded) -> None:
    """At the threshold, not before."""
    guarded.call("failure", "failure")
    assert guarded.breaker.state is CLOSED
    guarded.call("failure")
    assert guarded.breaker.state is OPEN
    assert guarded.moves == [(CLOSED, OPEN)]


def test_a_success_ends_the_row(guarded: Guarded) -> None:
    """Only failures without a success between them are in a row."""
    guarded.call("failure", "failure", "success", "failure", "failure")
    assert guarded.breaker.state is CLOSED


def test_ignored_calls_move_nothing(guarded: Guarded) -> None:
    """A cancelled call neither fails nor ends the row."""
    guarded.call("failure", "failure", *["ignore"] * 50)
    assert guarded.breaker.state is CLOSED
    guarded.call("failure")
    assert guarded.breaker.state is OPEN


def test_a_failing_half_opens_it_without_any_row(guarded: Guarded) -> None:
    """Every second call failing is an outage: it opens at twice the threshold of calls, not before."""
    guarded.call("success", "failure", "success", "failure", "success")
    assert guarded.breaker.state is CLOSED
    guarded.call("failure")
    assert guarded.breaker.state is OPEN


def test_fewer_failures_than_the_rate_do_not_open_it(guarded: Guarded) -> None:
    """One failure in three calls is borne."""
    guarded.call(*["success", "success", "failure"] * 20)
    assert guarded.breaker.state is CLOSED


def test_failures_leave_the_window(guarded: Guarded) -> None:
    """What is older than the window has no say in the rate."""
    guarded.call("success", "failure", "success", "failure", "success")
    guarded.clock.advance(60.0)
    guarded.call("failure")
    assert guarded.breaker.state is CLOSED


def test_slow_answers_open_it(guarded: Guarded) -> None:
    """An upstream that answers, but mostly too late, is as good as down."""
    for _ in range(6):
        permit = guarded.breaker.ask()
        guarded.clock.advance(9.0)
        permit.success()
    assert guarded.breaker.state is CLOSED
    slow = [guarded.breaker.ask() for _ in range(40)]
    guarded.clock.advance(20.5)
    for permit in slow:
        permit.success()
    assert guarded.breaker.state is OPEN


def test_calls_that_hang_open_it_while_they_are_in_flight(guarded: Guarded) -> None:
    """A full hang is seen when the calls are overdue, not when they are given up."""
    for _ in range(6):
        guarded.breaker.ask()
    guarded.clock.advance(20.0)
    assert guarded.breaker.state is CLOSED
    guarded.clock.advance(0.5)
    assert guarded.breaker.refusal() is not None
    assert guarded.breaker.state is OPEN


def test_an_open_breaker_refuses_until_its_time_is_over(guarded: Guarded) -> None:
    """Each refusal says what remains of the time."""
    guarded.trip()
    assert guarded.refusal() == 10.0
    guarded.clock.advance(9.5)
    assert guarded.refusal() == 0.5
    guarded.clock.advance(0.5)
    guarded.breaker.ask()


def test_it_stays_open_until_somebody_asks(guarded: Guarded) -> None:
    """Neither time, nor looking, nor the question whether it would refuse makes it half-open."""
    guarded.trip_and_wait()
    assert guarded.breaker.refusal() is None
    assert guarded.breaker.state is OPEN
    guarded.breaker.ask()
    assert guarded.breaker.state is HALF_OPEN


def test_half_open_lets_a_few_through(guarded: Guarded) -> None:
    """Of many who ask at once only the probes are admitted; the others come back soon."""
    guarded.trip_and_wait()
    guarded.breaker.ask()
    guarded.breaker.ask()
    assert [guarded.refusal() for _ in range(100)] == [1.0] * 100


def test_successful_probes_close_it(guarded: Guarded) -> None:
    """As many successes as there are probes, not fewer."""
    guarded.trip_and_wait()
    guarded.call("success")
    assert guarded.breaker.state is HALF_OPEN
    guarded.call("success")
    assert guarded.breaker.state is CLOSED
    assert guarded.moves == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


def test_successes_count_as_probes(guarded: Guarded) -> None:
    """One success and one probe in flight are all that is admitted."""
    guarded.trip_and_wait()
    guarded.call("success")
    guarded.breaker.ask()
    assert guarded.refusal() == 1.0


def test_a_closed_breaker_begins_anew(guarded: Guarded) -> None:
    """Nothing of before the outage counts after it."""
    guarded.call(*["success", "failure"] * 2)
    guarded.call("failure", "failure")
    guarded.clock.advance(10.0)
    guarded.call("success", "success", "failure", "failure", "success", "success")
    assert guarded.breaker.state is CLOSED


def test_a_failed_probe_opens_it_for_twice_as_long(clock: FakeClock) -> None:
    """The time doubles with each failed probe up to the limit, and starts again after a recovery."""
    guarded = Guarded(clock, jitter=0.0)
    guarded.trip()
    waits = []
    for _ in range(4):
        clock.advance(guarded.refusal())
        guarded.call("failure")
        waits.append(guarded.refusal())
    assert waits == [20.0, 40.0, 40.0, 40.0]
    clock.advance(40.0)
    guarded.call("success", "success")
    guarded.trip()
    assert guarded.refusal() == 10.0


def test_a_slow_probe_has_failed(guarded: Guarded) -> None:
    """An upstream that is still as slow as when it was given a rest is not back."""
    guarded.trip_and_wait()
    probe = guarded.breaker.ask()
    guarded.clock.advance(BreakerOptions().slow_call_seconds + 1)
    probe.success()
    assert guarded.breaker.state is BreakerState.OPEN


def test_doubled_times_are_spread(guarded: Guarded) -> None:
    """Workers that failed together do not probe together: within a fifth of the doubled time."""
    waits = set()
    for _ in range(50):
        guarded.trip_and_wait()
        guarded.call("failure")
        waits.add(guarded.refusal())
        guarded.breaker.reset()
    assert 16.0 <= min(waits) < 17.0
    assert 23.0 < max(waits) <= 24.0


def test_an_ignored_probe_frees_its_lease(guarded: Guarded) -> None:
    """A cancelled probe neither closes nor opens anything, and somebody else may probe."""
    guarded.trip_and_wait()
    guarded.call(*["ignore"] * 20)
    assert guarded.breaker.state is HALF_OPEN
    guarded.call("success", "success")
    assert guarded.breaker.state is CLOSED


@pytest.mark.parametrize("late", [Permit.success, Permit.failure, Permit.ignore])
def test_a_probe_that_hangs_is_reclaimed(guarded: Guarded, late: Callable[[Permit], None]) -> None:
    """After its lease others probe in its place, and its late report is void."""
    guarded.trip_and_wait()
    hung = [guarded.breaker.ask(), guarded.breaker.ask()]
    guarded.clock.advance(29.5)
    assert guarded.breaker.refusal() is not None
    guarded.clock.advance(0.5)
    assert guarded.breaker.refusal() is None
    for permit in hung:
        late(permit)
    assert guarded.breaker.state is HALF_OPEN
    guarded.call("success", "success")
    assert guarded.breaker.state is CLOSED


@pytest.mark.parametrize("late", [Permit.success, Permit.failure])
def test_reports_of_an_earlier_generation_are_void(guarded: Guarded, late: Callable[[Permit], None]) -> None:
    """Calls from before the outage neither close, nor re-open, nor count."""
    old = [guarded.breaker.ask() for _ in range(12)]
    guarded.trip()
    late(old[0])
    assert guarded.breaker.state is OPEN
    guarded.clock.advance(10.0)
    probe = guarded.breaker.ask()
    late(old[1])
    late(old[2])
    assert guarded.breaker.state is HALF_OPEN
    probe.success()
    guarded.call("success")
    for permit in old[3:]:
        late(permit)
    assert guarded.breaker.state is CLOSED


def test_only_the_first_report_counts(guarded: Guarded) -> None:
    """A permit that was reported on is spent."""
    permit = guarded.breaker.ask()
    assert repr(permit) == "<Permit of generation 0, in use>"
    permit.failure()
    for _ in range(10):
        permit.failure()
    permit.success()
    permit.ignore()
    assert repr(permit) == "<Permit of generation 0, reported>"
    assert guarded.breaker.state is CLOSED
    guarded.call("failure", "failure")
    assert guarded.breaker.state is OPEN


def test_a_reset_closes_it_by_hand(guarded: Guarded) -> None:
    """An operator closes it, the next outage opens it as the first one did, and calls before do not count."""
    guarded.trip()
    guarded.breaker.reset()
    assert guarded.breaker.state is CLOSED
    assert guarded.moves == [(CLOSED, OPEN), (OPEN, CLOSED)]
    old = [guarded.breaker.ask() for _ in range(3)]
    guarded.breaker.reset()
    for permit in old:
        permit.failure()
    assert guarded.breaker.state is CLOSED
    assert len(guarded.moves) == 2
