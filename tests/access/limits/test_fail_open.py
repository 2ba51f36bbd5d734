from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.access.limits.base import CountersUnavailableError, Taken
from agent_service.access.limits.fail_open import FailOpen
from agent_service.core.observer import LimitNotChecked
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    import pytest

    from agent_service.access.limits.rate import Rate


class BreakableCounters:
    """Counters that fail when the test says so."""

    def __init__(self) -> None:
        self.fails = False
        self.asked = 0
        self.closed = False

    def _ask(self) -> None:
        self.asked += 1
        if self.fails:
            raise CountersUnavailableError from OSError("to 10.0.0.7")

    async def start(self) -> None:
        self._ask()

    async def close(self) -> None:
        self.closed = True

    async def take(self, name: str, rates: tuple[Rate, ...]) -> Taken:
        self._ask()
        return Taken(True, ())

    async def spend(self, name: str, tokens: int, *, day: int) -> int:
        self._ask()
        return tokens


class Staged:
    """What fails open, over counters that can be broken."""

    def __init__(self) -> None:
        self.counters, self.clock, self.observer = BreakableCounters(), FakeClock(), RecordingObserver()
        self.failing_open = FailOpen(self.counters, clock=self.clock, observer=self.observer)

    @property
    def not_checked(self) -> int:
        return len(self.observer.of(LimitNotChecked))

    async def take(self) -> Taken | None:
        return await self.failing_open.take("a", ())


async def test_what_counters_say_is_passed_on() -> None:
    """As long as they do, nothing is told."""
    staged = Staged()
    await staged.failing_open.start()
    assert await staged.take() == Taken(True, ())
    assert await staged.failing_open.spend("a", 5, day=1) == 5
    await staged.failing_open.close()
    assert staged.counters.closed
    assert staged.not_checked == 0


async def test_a_failure_lets_everybody_through_and_is_counted() -> None:
    """For a second nobody waits for counters that fail; each that goes uncounted is told."""
    staged = Staged()
    staged.counters.fails = True

    assert [await staged.take() for _ in range(5)] == [None] * 5
    assert await staged.failing_open.spend("a", 5, day=1) is None
    assert (staged.counters.asked, staged.not_checked) == (1, 6)


async def test_one_in_a_second_tries_again() -> None:
    """So that an outage costs one query in each second a wait, and its end is noticed."""
    staged = Staged()
    staged.counters.fails = True
    await staged.take()
    staged.clock.advance(1.0)
    await staged.take()
    await staged.take()
    assert staged.counters.asked == 2

    staged.counters.fails = False
    staged.clock.advance(1.0)
    assert [await staged.take() for _ in range(2)] == [Taken(True, ())] * 2
    assert staged.not_checked == 3


async def test_the_log_tells_the_begin_and_the_end_of_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """One line each, however many queries there were; with the class of the cause, without its text."""
    staged = Staged()
    staged.counters.fails = True
    for _ in range(5):
        await staged.take()
        staged.clock.advance(0.6)
    staged.counters.fails = False
    staged.clock.advance(1.0)
    await staged.take()

    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("ERROR", "limits are not checked: what counts for them fails"),
        ("WARNING", "limits are checked again"),
    ]
    assert vars(caplog.records[0])["cause"] == "OSError"
    assert "10.0.0.7" not in caplog.text


async def test_a_start_that_fails_is_no_end_of_the_service() -> None:
    """It is told, and goes on without limits."""
    staged = Staged()
    staged.counters.fails = True
    await staged.failing_open.start()
    assert staged.not_checked == 1
