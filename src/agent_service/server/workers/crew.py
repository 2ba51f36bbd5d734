"""The worker processes: started, spoken to, ended."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.server.workers.channel import Channel, ChannelFullError
from agent_service.server.workers.worker import HEARD_SIGNALS, WorkerJob, work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess

    from agent_service.server.process import ProcessOptions
    from agent_service.server.workers.channel import Message
    from agent_service.server.workers.worker import Build

_log = logging.getLogger("agent_service.server")

_CAN_FORK = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
START_METHOD = "fork" if _CAN_FORK else "spawn"
"""A fork shares what is imported; the system libraries of macOS do not survive one."""


@dataclass(frozen=True)
class _Member:
    process: BaseProcess
    end: socket.socket
    channel: Channel


class Crew:
    """Every worker by its process id.

    Args:
        listener: the socket that all accept from.
        build: what each worker serves; picklable where processes are spawned.
        options: how each behaves.
        start_method: ``fork`` or ``spawn``, see ``multiprocessing``.
    """

    def __init__(
        self,
        *,
        listener: socket.socket,
        build: Build,
        options: ProcessOptions,
        start_method: str = START_METHOD,
    ) -> None:
        self._listener = listener
        self._build = build
        self._options = options
        self._start_method = start_method
        self._members: dict[int, _Member] = {}

    def __repr__(self) -> str:
        return f"<Crew {', '.join(map(str, self._members)) or 'empty'}>"

    def start(self) -> int:
        """Start a worker; returns its process id.

        Raises:
            OSError: the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        process = self._process(theirs, (*(member.end for member in self._members.values()), ours))
        try:
            # A signal in between would run the supervisor's handlers in the new process.
            signal.pthread_sigmask(signal.SIG_BLOCK, HEARD_SIGNALS)
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD_SIGNALS)
            theirs.close()
        pid = process.pid or 0
        self._members[pid] = _Member(process, ours, Channel(ours))
        return pid

    def _process(self, theirs: socket.socket, ours: tuple[socket.socket, ...]) -> BaseProcess:
        inherited = ours if self._start_method == "fork" else ()
        job = WorkerJob(self._listener, theirs, self._build, self._options, inherited)
        context = multiprocessing.get_context(self._start_method)
        process: BaseProcess = context.Process(target=work, args=(job, os.getpid()))  # type: ignore[attr-defined] # of every context
        return process

    def channels(self) -> dict[int, Channel]:
        """The lines that are open."""
        return {pid: member.channel for pid, member in self._members.items() if member.channel.is_open}

    def send(self, pid: int, message: Message) -> None:
        """Send to one worker; one that does not read any more is killed."""
        if pid in self._members:
            try:
                self._members[pid].channel.send(message)
            except ChannelFullError:
                _log.error("worker %d does not listen any more and is killed", pid)
                self.signal(pid, signal.SIGKILL)

    def order(self, order: str) -> None:
        """Give an order to every worker."""
        for pid in self._members:
            self.send(pid, {"order": order})

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a worker that was not reaped yet."""
        if pid in self._members:
            os.kill(pid, number)

    def reap(self) -> Iterator[tuple[int, int, list[Message]]]:
        """Each worker that has ended: process id, status as of ``multiprocessing``, its last messages."""
        for pid, member in list(self._members.items()):
            status = member.process.exitcode
            if status is not None:
                del self._members[pid]
                last = member.channel.receive()
                member.channel.close()
                member.process.close()
                yield pid, status, last

    def kill(self) -> None:
        """End all that are left, at once."""
        for pid in self._members:
            self.signal(pid, signal.SIGKILL)

    def stop_listening(self) -> None:
        """Clients are refused as soon as no worker accepts any more."""
        self._listener.close()
