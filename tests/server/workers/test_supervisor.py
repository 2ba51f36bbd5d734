from __future__ import annotations

import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.server.process import FORCED_EXIT_SECONDS, STOP_SECONDS
from agent_service.server.workers.channel import Channel
from agent_service.server.workers.roster import Roster, RosterOptions
from agent_service.server.workers.supervisor import CRASHES, LATER_SECONDS, Office, Supervisor
from agent_service.server.workers.switchboard import Switchboard
from agent_service.server.workers.totals import Totals
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE_SECONDS = 30.0


class FakeCrew:
    """Workers that serve as soon as they are started, and end when told to, unless they are stubborn."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.stubborn = False
        self.fails = False
        self.workers: dict[int, Channel] = {}
        self._supervised: dict[int, Channel] = {}
        self._ended: list[tuple[int, int]] = []
        self._number = 0

    def start(self) -> int:
        if self.fails:
            raise BlockingIOError("no more processes")
        self._number += 1
        supervised, worker = (Channel(end) for end in socket.socketpair())
        self._supervised[self._number], self.workers[self._number] = supervised, worker
        worker.send({"report": "serving"})
        self.journal.append(f"start {self._number}")
        return self._number

    def end(self, pid: int, status: int) -> None:
        """A worker ends."""
        self._ended.append((pid, status))

    def channels(self) -> dict[int, Channel]:
        return self._supervised

    def send(self, pid: int, message: dict[str, Any]) -> None:
        if pid in self._supervised:
            self.journal.append(f"{message.get('order', 'message')} {pid}")
            if "order" in message and not self.stubborn:
                self.end(pid, 0)

    def order(self, order: str) -> None:
        for pid in list(self._supervised):
            self.send(pid, {"order": order})

    def signal(self, pid: int, number: signal.Signals) -> None:
        self.journal.append(f"{number.name} {pid}")

    def kill(self) -> None:
        for pid in list(self._supervised):
            self.journal.append(f"kill {pid}")
            self.end(pid, -9)

    def reap(self) -> Iterator[tuple[int, int, list[dict[str, Any]]]]:
        ended, self._ended = dict(self._ended), []
        for pid, status in ended.items():
            last = self._supervised[pid].receive()
            self._supervised.pop(pid).close()
            self.workers.pop(pid).close()
            yield pid, status, last

    def stop_listening(self) -> None:
        self.journal.append("stop listening")


class Signals:
    """One step of the script at each look."""

    def __init__(self, *steps: Callable[[], list[int]]) -> None:
        self._steps = list(steps)
        self._reading, self._writing = os.pipe()
        os.write(self._writing, b"always")

    def fileno(self) -> int:
        return self._reading

    def received(self) -> list[int]:
        return self._steps.pop(0)() if self._steps else []

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


class Stage:
    """A supervisor of two workers that plays a script."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.crew = FakeCrew()
        self.totals = Totals()
        self.announced = 0

    def play(self, *steps: Callable[[], list[int]]) -> int:
        """Run to the end; the exit status."""
        signals = Signals(*steps)
        office = Office(
            crew=self.crew,  # type: ignore[arg-type] # the same methods without processes
            roster=Roster(RosterOptions(2), clock=self.clock),
            switchboard=Switchboard(clock=self.clock, send=self.crew.send, totals=self.totals),
            totals=self.totals,
            signals=signals,  # type: ignore[arg-type] # a script instead of signals
        )
        supervisor = Supervisor(
            office, grace_seconds=GRACE_SECONDS, announce=self._announce, clock=self.clock
        )
        try:
            return supervisor.run()
        finally:
            signals.close()

    def _announce(self) -> None:
        self.announced += 1

    def wait(self, seconds: float = 0.0) -> Callable[[], list[int]]:
        """A step in which time passes."""

        def step() -> list[int]:
            self.clock.advance(seconds)
            return []

        return step

    def hear(self, *numbers: int) -> Callable[[], list[int]]:
        """A step in which signals come."""
        return lambda: list(numbers)

    def crash(self, pid: int) -> Callable[[], list[int]]:
        """A step in which a worker is killed."""

        def step() -> list[int]:
            self.crew.end(pid, -9)
            return []

        return step


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Stage:
    caplog.set_level(logging.INFO)
    return Stage()


def test_a_worker_that_was_told_to_end_is_dismissed_and_replaced(stage: Stage) -> None:
    """It leaves when the supervisor says so, and is no crash."""

    def ask() -> list[int]:
        stage.crew.workers[1].send({"report": "leaving"})
        return []

    ready = (stage.wait(), stage.wait(), ask)
    assert stage.play(*ready, stage.wait(), stage.wait(), stage.hear(signal.SIGTERM)) == 0
    assert stage.crew.journal[2:4] == ["leave 1", "start 3"]
    assert stage.totals.merged()["families"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_workers_with_status_0(stage: Stage, number: int) -> None:
    """The listener is closed first, so that clients are refused when the last worker has left."""
    assert stage.play(stage.wait(), stage.wait(), stage.hear(number)) == 0
    assert stage.crew.journal == ["start 1", "start 2", "stop listening", "stop 1", "stop 2"]
    assert stage.announced == 1


def test_a_second_signal_insists_and_an_echo_does_not(stage: Stage) -> None:
    """Workers are told at once, and killed soon when they do not follow."""
    stage.crew.stubborn = True
    ready = (stage.wait(), stage.wait())
    stop, echo = stage.hear(signal.SIGTERM), stage.hear(signal.SIGTERM)
    last = stage.wait(FORCED_EXIT_SECONDS + LATER_SECONDS)
    assert stage.play(*ready, stop, echo, stage.wait(1), stage.hear(signal.SIGINT), last) == 0
    told = stage.crew.journal[2:]
    assert told[:3] == ["stop listening", "stop 1", "stop 2"]
    assert told[4:] == ["insist 1", "insist 2", "kill 1", "kill 2"]


def test_workers_that_do_not_stop_are_killed_after_the_grace(stage: Stage) -> None:
    """Their own fuse should have ended them by then; the status is that of a stop that was asked for."""
    stage.crew.stubborn = True
    patience_seconds = GRACE_SECONDS + STOP_SECONDS + LATER_SECONDS
    ready = (stage.wait(), stage.wait(), stage.hear(signal.SIGTERM))
    assert stage.play(*ready, stage.wait(patience_seconds - 1), stage.wait(1)) == 0
    assert stage.crew.journal[-2:] == ["kill 1", "kill 2"]


def test_a_crash_is_told_counted_and_replaced(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the worker and the signal."""
    ready = (stage.wait(), stage.wait(10.0))
    assert stage.play(*ready, stage.crash(1), stage.wait(), stage.hear(signal.SIGTERM)) == 0
    assert stage.crew.journal[:3] == ["start 1", "start 2", "start 3"]
    assert "worker 1 ended with SIGKILL: crash" in caplog.text
    assert [family["name"] for family in stage.totals.merged()["families"]] == [
        CRASHES.removesuffix("_total")
    ]


def test_a_hang_up_renews_one_after_the_other(stage: Stage) -> None:
    """Each old worker leaves when its successor serves."""
    ready = (stage.wait(), stage.wait(), stage.hear(signal.SIGHUP))
    assert stage.play(*ready, *[stage.wait() for _ in range(9)], stage.hear(signal.SIGTERM)) == 0
    assert stage.crew.journal[2:6] == ["start 3", "leave 1", "start 4", "leave 2"]


def test_workers_that_cannot_be_started_end_it_with_status_1(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A system without room for a process is a failed start like any other."""
    stage.crew.fails = True
    assert stage.play() == 1
    assert "the system cannot start a worker" in caplog.text


def test_a_first_worker_that_fails_ends_it_with_status_1(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says that it is given up."""

    def fail() -> list[int]:
        stage.crew.workers[1].send({"report": "nothing"})
        stage.crew.end(1, 1)
        return []

    stage.crew.start = _silent(stage.crew)  # type: ignore[method-assign] # a worker that never serves
    assert stage.play(fail) == 1
    assert "giving up" in caplog.text
    assert stage.announced == 0


def _silent(crew: FakeCrew) -> Callable[[], int]:
    start = crew.start

    def silently() -> int:
        pid = start()
        crew.channels()[pid].receive()
        return pid

    return silently
