"""Waits of one span, and the one timer that serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.memory.patience import Patience

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


class _Waits:
    """Begins waits by name, and keeps the names of those that were given up."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.given_up: list[str] = []

    def begin(self, name: str) -> None:
        self.patience.begin(name, lambda: self.given_up.append(name))


@pytest.fixture
def waits(clock: FakeClock) -> _Waits:
    """Of one second each."""
    return _Waits(Patience(clock, 1.0))


async def test_a_wait_that_ended_in_time_is_not_given_up(waits: _Waits, clock: FakeClock) -> None:
    """It leaves no timer; ending it again does nothing."""
    waits.begin("a")
    waits.patience.end("a")
    waits.patience.end("a")
    clock.advance(2.0)

    assert waits.given_up == []
    assert clock.pending == 0
    assert repr(waits.patience) == "<Patience of 1.0 s for 0>"


async def test_each_wait_has_its_own_end(waits: _Waits, clock: FakeClock) -> None:
    """One timer at a time gives each wait up when its own span is over, once."""
    for name in "abc":
        waits.begin(name)
        clock.advance(0.25)
    assert clock.pending == 1

    given_up = []
    for _ in range(4):
        clock.advance(0.25)
        given_up.append("".join(waits.given_up))

    assert given_up == ["a", "ab", "abc", "abc"]
    assert clock.pending == 0


async def test_who_leaves_does_not_end_the_patience_of_others(waits: _Waits, clock: FakeClock) -> None:
    """The oldest wait ends early; the next one is still given up at its own time."""
    waits.begin("a")
    clock.advance(0.5)
    waits.begin("b")
    waits.patience.end("a")
    clock.advance(0.75)
    assert waits.given_up == []
    clock.advance(0.25)

    assert waits.given_up == ["b"]
    assert clock.pending == 0
