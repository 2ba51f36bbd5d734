"""The parent of the workers: hears signals, keeps the roster's decisions, connects the lines."""

from __future__ import annotations

import logging
import select
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.server.process import EXIT_SECONDS, FORCED_EXIT_SECONDS, STOP_SECONDS
from agent_service.server.stop_requests import SIGNALS, StopRequests
from agent_service.server.workers.roster import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.core.clock import Clock
    from agent_service.server.workers.channel import Channel, Message
    from agent_service.server.workers.crew import Crew
    from agent_service.server.workers.roster import Roster
    from agent_service.server.workers.signal_pipe import SignalPipe
    from agent_service.server.workers.switchboard import Switchboard
    from agent_service.server.workers.totals import Totals

_log = logging.getLogger("agent_service.server")

LATER_SECONDS = EXIT_SECONDS + 2.0
"""How much longer than a worker's own fuse the supervisor waits before it kills."""

CRASHES = "agent_worker_crashes_total"


@dataclass(frozen=True)
class Office:
    """What the supervisor works with."""

    crew: Crew
    roster: Roster
    switchboard: Switchboard
    totals: Totals
    signals: SignalPipe


class Supervisor:
    """Runs workers until told to stop, or until they cannot be kept up.

    Args:
        office: its parts.
        grace_seconds: how long a stop may take the workers' queries.
        announce: called when the first worker serves.
        clock: where time comes from.
    """

    def __init__(
        self, office: Office, *, grace_seconds: float, announce: Callable[[], None], clock: Clock
    ) -> None:
        self._crew = office.crew
        self._roster = office.roster
        self._switchboard = office.switchboard
        self._totals = office.totals
        self._signals = office.signals
        self._grace_seconds = grace_seconds
        self._announce: Callable[[], None] | None = announce
        self._clock = clock
        self._stop_requests = StopRequests(clock=clock)
        self._kill_at_seconds: float | None = None

    def __repr__(self) -> str:
        return f"<Supervisor of {self._roster!r}>"

    def run(self) -> int:
        """Supervise to the end; returns the exit status: 0 when told to stop, else 1."""
        try:
            while not self._roster.is_over:
                self._staff()
                self._listen()
                self._reap()
                self._switchboard.expire()
        finally:
            self._crew.kill()
        return 1 if self._roster.gives_up else 0

    def _staff(self) -> None:
        """Start and dismiss as the roster says; kill when all patience is over."""
        for pid in self._roster.workers_to_dismiss():
            self._dismiss(pid)
        for slot in self._roster.slots_to_start():
            self._start(slot)
        if self._kill_at_seconds is not None and self._clock.monotonic() >= self._kill_at_seconds:
            self._crew.kill()

    def _dismiss(self, pid: int) -> None:
        self._roster.leave(pid)
        self._crew.send(pid, {"order": "leave"})

    def _start(self, slot: int) -> None:
        try:
            pid = self._crew.start()
        except OSError:
            _log.exception("the system cannot start a worker")
            self._roster.start(0, slot)
            self._roster.end(0, 1)
            return
        self._roster.start(pid, slot)
        _log.info("worker %d starts", pid)

    def _listen(self) -> None:
        """Wait for signals, messages and the next thing to do."""
        channels = self._crew.channels()
        unsent = [channel for channel in channels.values() if channel.has_unsent]
        sources: list[SignalPipe | Channel] = [self._signals, *channels.values()]
        readable, writable, _ = select.select(sources, unsent, [], self._patience())
        for number in self._signals.received():
            self._obey(number)
        for channel in writable:
            channel.flush()
        for pid, channel in channels.items():
            if channel in readable:
                for message in channel.receive():
                    self._hear(pid, message)

    def _patience(self) -> float | None:
        waits = [self._roster.seconds_to_next(), self._switchboard.seconds_to_next()]
        if self._kill_at_seconds is not None:
            waits.append(max(0.05, self._kill_at_seconds - self._clock.monotonic()))
        return min((wait for wait in waits if wait is not None), default=None)

    def _hear(self, pid: int, message: Message) -> None:
        report = message.get("report")
        if report == "serving":
            self._serves(pid)
        elif report == "leaving":
            self._dismiss(pid)
        else:
            self._switchboard.hear(pid, message)

    def _serves(self, pid: int) -> None:
        self._roster.serve(pid)
        self._switchboard.connect(pid)
        if self._announce is not None:
            self._announce()
            self._announce = None
        _log.info("worker %d serves", pid)

    def _obey(self, number: int) -> None:
        if number in SIGNALS:
            is_first = not self._stop_requests.asked.is_set()
            self._stop_requests.hear()
            if is_first or self._stop_requests.insisted.is_set():
                self._stop(insists=not is_first)
        elif number == signal.SIGHUP and not self._stop_requests.asked.is_set():
            _log.info("replacing the workers, one after the other")
            self._roster.renew()

    def _stop(self, *, insists: bool) -> None:
        wait_seconds = FORCED_EXIT_SECONDS if insists else self._grace_seconds + STOP_SECONDS
        kill_at_seconds = self._clock.monotonic() + wait_seconds + LATER_SECONDS
        self._kill_at_seconds = min(kill_at_seconds, self._kill_at_seconds or kill_at_seconds)
        _log.info("stopping the workers%s", " at once" if insists else "")
        self._crew.stop_listening()
        self._crew.order("insist" if insists else "stop")
        for pid in self._roster.stop():
            self._crew.signal(pid, signal.SIGTERM)

    def _reap(self) -> None:
        for pid, status, last in self._crew.reap():
            for message in last:
                self._hear(pid, message)
            self._switchboard.disconnect(pid)
            self._judge(pid, status, self._roster.end(pid, status))

    def _judge(self, pid: int, status: int, end: End) -> None:
        """Tell what the end of a worker means."""
        if end is End.EXPECTED:
            _log.info("worker %d has ended", pid)
            return
        _log.error("worker %d ended with %s: %s", pid, _described(status), end.value)
        if end is End.CRASH:
            self._totals.count(CRASHES)
        if end is End.FAILED_RENEWAL:
            _log.error("the new worker did not start; the old ones go on, with what they have")
        if self._roster.gives_up:
            _log.critical("giving up: workers end as soon as they are started; the lines above say why")
            self._stop(insists=False)


def _described(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
