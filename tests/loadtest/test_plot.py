from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.loadtest.load import ClosedLoop, Extent, Load, OpenLoop, Reply, Sample
from agent_service.loadtest.plot import plot
from agent_service.loadtest.samples import Round

if TYPE_CHECKING:
    from pathlib import Path


def _round() -> Round:
    samples = [Sample(n / 10, n / 10 + 0.05, Reply()) for n in range(20)]
    return Round(Extent(seconds=2), 0.0, [*samples, Sample(0, 1, Reply("timeout"))], 2.0)


def _drawn(rounds: dict[tuple[Load, str], list[Round]], path: Path) -> str:
    plot(rounds, path)
    return path.read_text("utf-8")


def test_several_loads_are_drawn_over_the_load(tmp_path: Path) -> None:
    """With a line for each percentile and server."""
    rounds: dict[tuple[Load, str], list[Round]] = {
        (ClosedLoop(number), server): [_round()] for number in (1, 8) for server in ("service", "acall")
    }
    drawn = _drawn(rounds, tmp_path / "p.svg")
    for text in ("clients", "service p50", "service p99", "acall p95", "answers a second"):
        assert f"<!-- {text} -->" in drawn


def test_a_single_load_is_drawn_over_time(tmp_path: Path) -> None:
    """Rounds are set end to end."""
    drawn = _drawn({(OpenLoop(10), "service"): [_round(), _round()]}, tmp_path / "p.svg")
    for text in ("10 q/s", "seconds of load", "service p95"):
        assert f"<!-- {text} -->" in drawn


def test_a_load_without_an_answer_can_be_drawn(tmp_path: Path) -> None:
    """An interruption comes at any time."""
    path = tmp_path / "p.png"
    plot({(ClosedLoop(1), "service"): [Round(Extent(seconds=2), 0.0)]}, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """As for any file."""
    with pytest.raises(FileNotFoundError):
        plot({(ClosedLoop(1), "service"): [_round()]}, tmp_path / "no" / "p.png")
