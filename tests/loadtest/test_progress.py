from __future__ import annotations

import io

from agent_service.loadtest.load import Extent, Reply, Sample
from agent_service.loadtest.progress import ProgressBar, pace


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _samples(count: int, *, error: str | None = None) -> list[Sample]:
    return [Sample(n / 10, n / 10 + 0.02, Reply(error)) for n in range(count)]


def test_the_bar_shows_the_part_done_the_pace_and_the_errors() -> None:
    """Of the time, when the load has a time."""
    terminal = Terminal()
    bar = ProgressBar(terminal)
    bar.begin("service, 8 clients", Extent(seconds=4))
    bar.show(1.0, _samples(11))
    bar.show(2.0, [*_samples(11), *_samples(3, error="timeout")])
    bar.end()
    drawn = terminal.getvalue()
    assert "service, 8 clients  25 %" in drawn
    assert " 50 %" in drawn
    assert "11 q/s, p95 20 ms, 0 errors" in drawn
    assert "3 errors" in drawn


def test_a_number_of_queries_is_counted_in_queries() -> None:
    """However long they take; more than all is all."""
    terminal = Terminal()
    bar = ProgressBar(terminal)
    bar.begin("service", Extent(queries=20))
    bar.show(100.0, _samples(5))
    bar.show(100.0, _samples(25))
    bar.end()
    assert " 25 %" in terminal.getvalue()
    assert "100 %" in terminal.getvalue()


def test_without_a_terminal_it_is_silent() -> None:
    """A log file wants no bar."""
    file = io.StringIO()
    bar = ProgressBar(file)
    bar.begin("service", Extent(seconds=4))
    bar.show(1.0, _samples(5))
    bar.end()
    assert file.getvalue() == ""


def test_the_pace_is_that_of_the_last_two_seconds() -> None:
    """What was long ago no longer shows; errors are no answers."""
    old = [Sample(0.0, 1.0, Reply()) for _ in range(500)]
    new = [Sample(8.0 + n / 20, 8.1 + n / 20, Reply()) for n in range(21)]
    assert pace([*old, *new]) == "21 q/s, p95 100 ms"
    assert pace(_samples(3, error="timeout")) == "no answer of late"
    assert pace([]) == "no answer of late"
