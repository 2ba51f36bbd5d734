"""Several processes behind one port: a supervisor that serves nothing, and the workers that do."""

from __future__ import annotations

import gc
import logging
import signal
from typing import TYPE_CHECKING

from agent_service.core.clock import SystemClock
from agent_service.server.exit_status import status_of
from agent_service.server.listener import listen, url_of
from agent_service.server.stop_requests import exit_on_signal
from agent_service.server.workers.crew import START_METHOD, Crew
from agent_service.server.workers.roster import Roster, RosterOptions
from agent_service.server.workers.signal_pipe import SignalPipe
from agent_service.server.workers.supervisor import Office, Supervisor
from agent_service.server.workers.switchboard import Switchboard
from agent_service.server.workers.totals import Totals
from agent_service.server.workers.worker import HEARD_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.server.process import ProcessOptions
    from agent_service.server.workers.worker import Build

__all__ = ["supervise"]

_log = logging.getLogger("agent_service.server")


def supervise(
    build: Build,
    *,
    prepare: Callable[[], None],
    host: str,
    port: int,
    options: ProcessOptions,
    roster: RosterOptions,
    start_method: str = START_METHOD,
) -> int:
    """Keep ``roster.size`` workers serving what ``build`` makes until told to stop; returns the exit status.

    Args:
        build: called in each new worker.
        prepare: called once, before the first worker: what it imports is shared by all that are forked. It
            must start no thread.
        host: where to listen.
        port: where to listen, 0 for a free one.
        options: how each worker behaves.
        roster: how many, and when to give up.
        start_method: ``fork`` or ``spawn``.
    """
    exit_on_signal()
    statuses = []

    def supervising() -> None:
        options.certificate()  # each worker loads its own; what is wrong with it is told once
        with listen(host, port) as listener:
            prepare()
            # What lives now lives as long as the workers: their collectors leave its pages shared.
            gc.collect()
            gc.freeze()
            crew = Crew(listener=listener, build=build, options=options, start_method=start_method)
            url = url_of(listener, is_secure=options.tls is not None)
            statuses.append(_run(crew, url, roster, leave_seconds=options.leave_seconds))

    return status_of(supervising) or statuses[0]


def _run(crew: Crew, url: str, roster: RosterOptions, *, leave_seconds: float) -> int:
    clock, totals = SystemClock(), Totals()
    with SignalPipe((*HEARD_SIGNALS, signal.SIGCHLD)) as signals:
        office = Office(
            crew=crew,
            roster=Roster(roster, clock=clock),
            switchboard=Switchboard(clock=clock, send=crew.send, totals=totals),
            totals=totals,
            signals=signals,
        )
        return Supervisor(
            office,
            grace_seconds=leave_seconds,
            announce=lambda: _log.info("listening on %s", url),
            clock=clock,
        ).run()
