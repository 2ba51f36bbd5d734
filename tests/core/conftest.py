"""What the tests of the core share: a clock that stands still and counts the timers that went off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.testing import FakeTimer


class CountingClock(FakeClock):
    """Counts the calls that its timers made."""

    fired = 0

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> FakeTimer:
        """Schedule, and count when the call is made."""

        def counted() -> None:
            self.fired += 1
            callback()

        return super().call_later(delay_seconds, counted)


@pytest.fixture
def counting_clock() -> CountingClock:
    """The same clock as ``clock``, with its count."""
    return CountingClock()


@pytest.fixture
def clock(counting_clock: CountingClock) -> FakeClock:
    """A clock that the test moves."""
    return counting_clock


@pytest.fixture
def fired(counting_clock: CountingClock) -> Callable[[], int]:
    """How many timers of ``clock`` went off."""
    return lambda: counting_clock.fired
