"""Rules of the window: it counts what a list of all outcomes would count, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from agent_service.core.breaker_window import Call, CallWindow, Counts

SPAN_SECONDS, BUCKET_SECONDS, SLOW_SECONDS = 24.0, 2.0, 5.0


def a_window() -> CallWindow:
    """Twelve buckets of two seconds; slow is more than five."""
    return CallWindow(span_seconds=SPAN_SECONDS, slow_call_seconds=SLOW_SECONDS)


def test_an_outcome_counts_for_the_window_and_not_longer() -> None:
    """A failure is seen until its bucket leaves the window."""
    window = a_window()
    window.finish(window.begin(100.0), 100.5, failed=True)
    assert window.counts(100.5 + 23.0) == Counts(calls=1, failures=1)
    assert window.counts(100.0 + 24.0) == Counts()


def test_an_outcome_of_one_round_before_does_not_show_through() -> None:
    """A bucket that is used again begins empty."""
    window = a_window()
    window.finish(window.begin(100.0), 100.0, failed=True)
    window.finish(window.begin(124.0), 124.0, failed=False)
    assert window.counts(124.0) == Counts(calls=1)


def test_slow_is_longer_than_the_limit() -> None:
    """A call of exactly the limit is in time, one that is longer is slow, failed or not."""
    window = a_window()
    in_time, slow = window.begin(100.0), window.begin(100.0)
    window.finish(in_time, 105.0, failed=False)
    window.finish(slow, 105.25, failed=True)
    assert window.counts(105.25) == Counts(calls=2, failures=1, slow=1)


def test_a_call_that_hangs_counts_while_it_is_in_flight_and_once() -> None:
    """A hang is slow as soon as it can be seen; its end moves the count and adds what else it was."""
    window = a_window()
    call = window.begin(100.0)
    assert window.counts(105.0) == Counts()
    assert window.counts(106.0) == window.counts(107.0) == Counts(calls=1, slow=1)
    window.finish(call, 108.0, failed=True)
    assert window.counts(108.0) == Counts(calls=1, failures=1, slow=1)


def test_the_late_end_of_a_hang_that_left_the_window_counts_again() -> None:
    """What the window has forgotten is not taken off something else."""
    window = a_window()
    call = window.begin(100.0)
    window.counts(106.0)
    window.finish(window.begin(130.0), 130.0, failed=False)
    window.finish(call, 131.0, failed=False)
    assert window.counts(131.0) == Counts(calls=2, slow=1)


def test_a_forgotten_call_never_counts() -> None:
    """Who says nothing of the upstream is neither a call nor slow."""
    window = a_window()
    window.forget(window.begin(100.0))
    assert window.counts(200.0) == Counts()


def test_a_window_of_good_calls_is_flawless_and_one_bad_call_spoils_it_until_it_leaves() -> None:
    """The breaker adds nothing up while there is nothing to add; a hang counts from when it can be seen."""
    window = a_window()
    for _ in range(100):
        window.finish(window.begin(100.0), 101.0, failed=False)
    assert window.is_flawless(101.0)
    window.finish(window.begin(101.0), 102.0, failed=True)
    hang = window.begin(112.0)
    assert not window.is_flawless(102.0)
    assert not window.is_flawless(117.0)
    assert not window.is_flawless(118.0)
    window.forget(hang)
    assert not window.is_flawless(141.0)
    assert window.is_flawless(142.0)


def test_calls_that_never_end_are_not_kept() -> None:
    """Memory is bounded by the calls that are not yet slow."""
    window = a_window()
    for _ in range(1000):
        window.begin(100.0)
    assert repr(window) == "<CallWindow 1000 in flight and not slow>"
    window.counts(106.0)
    assert repr(window) == "<CallWindow 0 in flight and not slow>"


@dataclass
class Outcome:
    """One line of the naive list."""

    at_seconds: float
    failed: bool
    slow: bool


class WindowMachine(RuleBasedStateMachine):
    """The window beside a list of (time, outcome) that is searched as a whole each time."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.window = a_window()
        self.now = 1000.0
        self.in_flight: dict[Call, float] = {}
        self.overdue: dict[Call, Outcome] = {}
        self.outcomes: list[Outcome] = []

    @rule(target=calls)
    def begin(self) -> Call:
        """A call begins."""
        call = self.window.begin(self.now)
        self.in_flight[call] = self.now
        return call

    @rule(call=consumes(calls), failed=st.booleans())
    def finish(self, call: Call, failed: bool) -> None:
        """It ends; a line for a hang is struck out and written anew."""
        self.window.finish(call, self.now, failed=failed)
        begun = self.in_flight.pop(call, None)
        if begun is None:
            self.outcomes.remove(self.overdue[call])
        self.outcomes.append(Outcome(self.now, failed, begun is None or self.now - begun > SLOW_SECONDS))

    @rule(call=consumes(calls))
    def forget(self, call: Call) -> None:
        """It ends and says nothing; what was seen of a hang stays seen."""
        self.window.forget(call)
        self.in_flight.pop(call, None)

    @rule(quarters=st.integers(0, 200))
    def wait(self, quarters: int) -> None:
        """Time passes."""
        self.now += quarters / 4

    @invariant()
    def counts_agree(self) -> None:
        """Calls, failures and slow calls are those of the list's lines within the last twelve buckets."""
        for call, begun in list(self.in_flight.items()):
            if self.now - begun > SLOW_SECONDS:
                del self.in_flight[call]
                self.overdue[call] = Outcome(self.now, failed=False, slow=True)
                self.outcomes.append(self.overdue[call])
        oldest = floor(self.now / BUCKET_SECONDS) - 11
        seen = [line for line in self.outcomes if floor(line.at_seconds / BUCKET_SECONDS) >= oldest]
        failures, slow = sum(line.failed for line in seen), sum(line.slow for line in seen)
        assert not (self.window.is_flawless(self.now) and (failures or slow))
        assert self.window.counts(self.now) == Counts(len(seen), failures, slow)


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
