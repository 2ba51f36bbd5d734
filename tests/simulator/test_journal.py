from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.simulator.journal import Journal

if TYPE_CHECKING:
    from agent_service.simulator.journal import Entry
    from agent_service.testing import FakeClock


def _open(journal: Journal) -> Entry:
    messages = [{"role": "user", "content": "hi"}]
    return journal.open(model="m", messages=messages, stream=False, tools=[], fault=None)


def test_an_entry_runs_until_it_is_closed(clock: FakeClock) -> None:
    """An entry says when it came, that it runs, and later how and after how long it ended."""
    journal = Journal(clock=clock)
    entry = _open(journal)
    assert journal.to_json()[0] == {
        "n": 1,
        "at_epoch_seconds": 1_700_000_000.0,
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
        "tools": [],
        "fault": None,
        "outcome": "running",
        "finished_after_seconds": None,
    }
    clock.advance(2)
    journal.close(entry, "answered")
    assert (entry.outcome, entry.finished_after_seconds) == ("answered", 2.0)


def test_only_the_newest_entries_are_kept(clock: FakeClock) -> None:
    """Past its capacity the journal drops the oldest and goes on counting."""
    journal = Journal(clock=clock, capacity=2)
    for _ in range(3):
        _open(journal)
    assert [entry["n"] for entry in journal.to_json()] == [2, 3]


def test_clearing_keeps_the_count(clock: FakeClock) -> None:
    """Numbers are never given twice."""
    journal = Journal(clock=clock)
    _open(journal)
    journal.clear()
    assert journal.to_json() == []
    assert _open(journal).n == 2
