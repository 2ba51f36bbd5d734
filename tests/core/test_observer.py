"""Rules of listening: everybody hears everything, and no listener can hurt the others or the query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.observer import Event, Observers, RunStarted
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    import pytest

EVENT = RunStarted("r1", "agent")


class Deaf:
    """A listener with a bug."""

    def observe(self, event: Event) -> None:
        """Fail."""
        raise RuntimeError("deaf")


def test_every_listener_hears_every_event_in_order() -> None:
    """Events arrive once at each listener, in the order they were told."""
    first, second = RecordingObserver(), RecordingObserver()
    observers = Observers(first, second)
    later = RunStarted("r2", "agent")
    observers.observe(EVENT)
    observers.observe(later)
    assert first.events == second.events == [EVENT, later]


def test_a_listener_can_join_later() -> None:
    """It hears what is told from then on."""
    observers, late = Observers(), RecordingObserver()
    observers.observe(EVENT)
    observers.add(late)
    assert late.events == []
    observers.observe(EVENT)
    assert late.events == [EVENT]


def test_a_listener_that_fails_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Telemetry with a bug costs neither the query nor the other listeners anything."""
    well = RecordingObserver()
    Observers(Deaf(), well).observe(EVENT)
    assert well.events == [EVENT]
    assert "a listener failed on RunStarted" in caplog.text
    assert "deaf" in caplog.text
