"""Rules of the breaker among others: options, listeners, threads, memory."""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest

from agent_service.core.breaker import Breaker, BreakerOptions, BreakerState, Permit
from agent_service.core.errors import CircuitBreakerOpenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.testing import FakeClock

ONE_FAILURE = BreakerOptions(failure_threshold=1, open_seconds=30.0, half_open_probes=1)


def unheard(before: BreakerState, after: BreakerState) -> None:
    """Nobody listens."""


def a_breaker(clock: FakeClock, on_move: Callable[[BreakerState, BreakerState], None] = unheard) -> Breaker:
    """One that opens at the first failure and closes at the first success."""
    return Breaker(ONE_FAILURE, clock=clock, random=Random(7), on_move=on_move)


def test_breakers_do_not_share_anything(clock: FakeClock) -> None:
    """An upstream that is down closes no other one's door."""
    failing, well = a_breaker(clock), a_breaker(clock)
    failing.ask().failure()
    well.ask().success()
    assert [failing.state, well.state] == [BreakerState.OPEN, BreakerState.CLOSED]


def test_the_wall_clock_is_not_read(clock: FakeClock) -> None:
    """An operator who sets the time by a day neither shortens nor lengthens the rest."""
    breaker = a_breaker(clock)
    breaker.ask().failure()
    for step_seconds in (86_400, -2 * 86_400):
        clock.step_wall(step_seconds)
        refusal = breaker.refusal()
        assert refusal is not None
        assert refusal.retry_after_seconds == 30.0


def test_refusals_leave_nothing_behind(clock: FakeClock) -> None:
    """An outage under load costs no memory, not even until the next garbage collection."""
    breaker = a_breaker(clock)
    breaker.ask().failure()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10_000):
            with suppress(CircuitBreakerOpenError):
                breaker.ask()
        assert gc.collect() < 1000
    finally:
        gc.enable()


def test_a_listener_may_look_at_the_breaker(clock: FakeClock) -> None:
    """When it is told of a move the breaker has moved."""
    seen: list[tuple[BreakerState, BreakerState]] = []
    breaker = a_breaker(clock, on_move=lambda _, after: seen.append((after, breaker.state)))
    breaker.ask().failure()
    assert seen == [(BreakerState.OPEN, BreakerState.OPEN)]


def test_threads_ask_one_after_the_other(clock: FakeClock) -> None:
    """Of two threads that ask at the same time for the only probe one is refused."""
    admitted: list[Permit] = []

    def ask() -> None:
        with suppress(CircuitBreakerOpenError):
            admitted.append(breaker.ask())

    def let_another_one_ask(before: BreakerState, after: BreakerState) -> None:
        if after is BreakerState.HALF_OPEN:
            other.start()
            other.join(0.05)

    other = threading.Thread(target=ask)
    breaker = a_breaker(clock, on_move=let_another_one_ask)
    breaker.ask().failure()
    clock.advance(30.0)
    ask()
    other.join()
    assert len(admitted) == 1


def test_repr_tells_the_state(clock: FakeClock) -> None:
    """Logs and failing tests show where a breaker stands."""
    breaker = a_breaker(clock)
    breaker.ask().failure()
    clock.advance(30.0)
    breaker.ask()
    assert repr(breaker) == "<Breaker half_open, generation 2, 1 probes>"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failure_threshold", 0),
        ("open_seconds", 0.0),
        ("window_seconds", -1.0),
        ("slow_call_seconds", 0.0),
        ("failure_rate", 0.0),
        ("slow_rate", 1.1),
        ("half_open_probes", 0),
        ("probe_lease_seconds", 0.0),
        ("max_backoff_factor", 0.5),
        ("jitter", 1.0),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(name: str, value: float) -> None:
    """A wrong bound is a mistake of the start, not of the first outage."""
    with pytest.raises(ValueError, match=name):
        BreakerOptions(**{name: value})  # type: ignore[arg-type] # wrong on purpose
