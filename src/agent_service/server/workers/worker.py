"""The life of one worker process, from the fork to its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.core.clock import SystemClock
from agent_service.server.exit_status import status_of
from agent_service.server.fuse import leave_within
from agent_service.server.process import HAND_OVER_SECONDS, STOP_SECONDS, Process, ProcessOptions
from agent_service.server.stop_requests import StopRequests, exit_on_signal
from agent_service.server.workers.channel import Channel
from agent_service.server.workers.sibling_line import SiblingLine

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from agent_service.core.clock import Clock
    from agent_service.core.siblings import Siblings
    from agent_service.server.process import Service

    Build = Callable[[Siblings], Service]

_log = logging.getLogger("agent_service.server")

HEARD_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""What supervisor and workers hear, each in its way."""

_FAREWELL_SECONDS = 1.0
"""For the supervisor to take the last numbers."""


@dataclass(frozen=True)
class WorkerJob:
    """What a worker is given.

    Attributes:
        listener: where it serves.
        line: its end of the line to the supervisor.
        build: reads the settings and makes the service that they describe.
        options: how the process behaves; the grace is the supervisor's, who waits for it.
        inherited: what a fork leaves open and only the supervisor may hold.
    """

    listener: socket.socket
    line: socket.socket
    build: Build
    options: ProcessOptions
    inherited: tuple[socket.socket, ...] = ()


class Orders(StopRequests):
    """What the supervisor says. At a SIGTERM the worker asks it: this one may be meant, or all."""

    def __init__(self, line: SiblingLine, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._line = line

    def listen(self) -> None:
        """Hear the line and the signal on the running event loop, which must be the main thread's."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._line.report, "leaving")
        self._line.open(self.obey)

    def obey(self, order: str) -> None:
        """Follow one order: ``stop`` with all others, ``insist`` on it, or let others take over."""
        if order == "stop":
            self.hear()
        elif order == "insist":
            self.insisted.set()
        else:
            self.hand_over()


def work(job: WorkerJob, supervisor_pid: int) -> None:
    """Serve as ``job`` says; ends the process.

    Raises:
        SystemExit: with the exit status.
    """
    _settle_in(job)
    grace_seconds = job.options.grace_seconds + HAND_OVER_SECONDS + STOP_SECONDS
    threading.Thread(target=_follow, args=(supervisor_pid, grace_seconds), daemon=True).start()
    channel = Channel(job.line)
    try:
        status = status_of(lambda: _serve(job, channel))
    finally:
        channel.close(linger_seconds=_FAREWELL_SECONDS)
    sys.exit(status)


def _serve(job: WorkerJob, channel: Channel) -> None:
    clock = SystemClock()
    line = SiblingLine(channel, clock=clock)
    Process(
        service=job.build(line),
        listener=job.listener,
        options=job.options,
        certificate=job.options.certificate(),
        stop_requests=Orders(line, clock=clock),
        leave_within=leave_within,
        announce=lambda: line.report("serving"),
    ).run()


def _settle_in(job: WorkerJob) -> None:
    """Take nothing over from the supervisor but what ``job`` holds."""
    with contextlib.suppress(ValueError):  # it was the supervisor's, or there is none after a spawn
        signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    exit_on_signal()
    # Terminals send these to the whole group; the supervisor decides. An ignored one is so for children too.
    signal.signal(signal.SIGINT, _pass_over)
    signal.signal(signal.SIGHUP, _pass_over)
    for end in job.inherited:
        end.close()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD_SIGNALS)


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    pass


def _follow(supervisor_pid: int, grace_seconds: float) -> None:
    """See to it that the process ends after its supervisor, whatever its event loop is at."""
    while os.getppid() == supervisor_pid:
        time.sleep(1.0)
    _log.error("the supervisor is gone")
    leave_within(grace_seconds, 1)
