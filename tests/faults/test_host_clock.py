"""The wall clock jumps, and local time with it (rows H4 and H6 of the fault matrix).

``libfaketime`` moves the wall clock of the running service and leaves the monotonic one alone, as an
administrator or a time server would.
"""

from __future__ import annotations

import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.at_rest import PROGRAMS, Asking, assert_at_rest, questions, turns
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service, Simulator

ROOT = Path(__file__).parents[2]
HOUR_SECONDS = 3600
END_OF_DAYLIGHT_SAVING = datetime(2026, 11, 1, 6, tzinfo=timezone.utc)
"""In New York the clocks go back by an hour at this moment."""


class WallClock:
    """The wall clock of a process, to be moved while that runs."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self.move_to(0)

    def move_to(self, offset_seconds: float) -> None:
        """So far from the true time from now on."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{offset_seconds:+f}\n")
        written.replace(self._file)

    def settings(self, **more: str) -> dict[str, str]:
        """What makes a process live by this clock."""
        library = subprocess.run(
            [ROOT / "scripts" / "get-debian-tool", "libfaketime", "libfaketimeMT.so.1"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert library.returncode == 0, library.stderr
        return {
            "LD_PRELOAD": library.stdout.strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            **more,
        }


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def _at(turn: dict[str, str]) -> datetime:
    assert turn["at"].endswith("Z")
    return datetime.fromisoformat(turn["at"].replace("Z", "+00:00"))  # Python 3.10 knows no Z


def _hours_ahead(turn: dict[str, str]) -> int:
    return round((_at(turn) - datetime.now(timezone.utc)).total_seconds() / HOUR_SECONDS)


@pytest.mark.parametrize("hours", [1, -1])
def test_no_deadline_moves_with_the_wall_clock(
    serve: Callable[..., Service], simulator: Simulator, wall_clock: WallClock, hours: int
) -> None:
    """A query in flight has as much time as before; the turn's ``at`` shows that the clock did move."""
    service = serve(**wall_clock.settings(**simulator.settings(**PROGRAMS)))
    service.ask("the first takes longer", user_id="eve")
    simulator.behave(latency_seconds=1.5)
    enough = Asking(service, "with enough time", X_Request_Timeout="5")
    began = time.monotonic()
    too_little = Asking(service, "with too little", user_id="bob", X_Request_Timeout="0.8")
    wait_until("both are in flight", lambda: len(simulator.journal()) == 3)

    wall_clock.move_to(hours * HOUR_SECONDS)

    assert too_little.answer().status_code == 504
    assert time.monotonic() - began < 10
    assert enough.answer().json()["stored"] is True
    assert 1400 < enough.answer().json()["latency_ms"] < 4000
    [turn] = turns(service)
    assert _hours_ahead(turn) == hours
    simulator.heal()
    assert_at_rest(service)


@pytest.mark.parametrize("hours", [1, -1])
def test_the_breaker_stays_open_for_its_time_and_not_longer(
    serve: Callable[..., Service], simulator: Simulator, wall_clock: WallClock, hours: int
) -> None:
    """An hour forward does not end the wait, an hour back does not prolong it."""
    breaker = {"CIRCUIT_BREAKER_THRESHOLD": "1", "CIRCUIT_BREAKER_TIMEOUT_SECS": "1.5"}
    service = serve(**wall_clock.settings(**simulator.settings(**PROGRAMS, **breaker, AGENT_MAX_RETRIES="0")))
    service.url()
    simulator.behave(faults=[{"kind": "500"}])
    assert service.ask("hello there").status_code == 502
    simulator.heal()

    wall_clock.move_to(hours * HOUR_SECONDS)

    refused = service.ask("hello there")
    assert (refused.status_code, refused.json()["error"]) == (503, "circuit_breaker_open")
    assert int(refused.headers["retry-after"]) <= 2
    wait_until("it probes", lambda: service.ask("hello there").status_code == 200, seconds=4)
    assert service.ask("hello there").status_code == 200
    wait_until("it is closed", lambda: service.metric("circuit_breaker_state") == 0)
    assert_at_rest(service)


def test_a_conversations_life_is_counted_by_the_wall_clock(
    serve: Callable[..., Service], wall_clock: WallClock
) -> None:
    """Hours of the calendar are what TTL means: an hour back loses nothing, its end in one jump ends it."""
    service = serve(**wall_clock.settings(**PROGRAMS, MEMORY_TTL_HOURS="2"))
    service.ask("first")
    wall_clock.move_to(-HOUR_SECONDS)
    service.ask("second")
    assert questions(service) == ["first", "second"]
    assert [turn["seq"] for turn in turns(service)] == [1, 2]

    wall_clock.move_to(1.5 * HOUR_SECONDS)

    assert questions(service) == []
    assert_at_rest(service)


def test_times_are_utc_through_the_end_of_daylight_saving(
    serve: Callable[..., Service], wall_clock: WallClock
) -> None:
    """An hour that local clocks show twice is no hour that conversations repeat."""
    service = serve(**wall_clock.settings(**PROGRAMS, MEMORY_TIMEOUT_SECS="10", TZ="America/New_York"))
    service.ask("the first takes longer", user_id="bob")
    jump = END_OF_DAYLIGHT_SAVING - timedelta(seconds=1) - datetime.now(timezone.utc)
    wall_clock.move_to(jump.total_seconds())
    service.ask("before")
    asked = time.monotonic()
    wait_until("local clocks have gone back", lambda: time.monotonic() > asked + 1)

    service.ask("after")

    before, after = (_at(turn) for turn in turns(service))
    assert before < END_OF_DAYLIGHT_SAVING < after
    assert after - before < timedelta(seconds=5)
    assert_at_rest(service)
