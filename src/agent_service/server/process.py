"""The life of a serving process: start, serve, drain, stop, and the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import uvicorn

from agent_service.core.clock import SystemClock
from agent_service.server.departing_app import DepartingApp
from agent_service.server.exit_status import status_of
from agent_service.server.fuse import leave_within
from agent_service.server.guarded_protocol import GuardedProtocol, GuardOptions
from agent_service.server.lifespan import Lifespan
from agent_service.server.listener import BACKLOG, handles_of, listen, url_of
from agent_service.server.stop_requests import StopRequests, exit_on_signal, ignore_signals

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

_log = logging.getLogger("agent_service.server")

KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s after which common load balancers drop idle connections, so that they drop first."""

FINISH_SECONDS = 2
"""After the drain: for answers on their way out and requests that are no queries."""

CANCEL_SECONDS = 3.0
"""For requests that were cut off to clean up."""

FORCED_EXIT_SECONDS = 5.0
"""From a second signal to the end, whatever hangs."""

EXIT_SECONDS = 2.0
"""From the end of all work to the end of the process, when threads are blocked."""

HAND_OVER_SECONDS = 5.0
"""For clients with an open connection to send what they are about to send, when others take over."""

_LOOK_SECONDS = 0.05

STOP_SECONDS = FINISH_SECONDS + CANCEL_SECONDS + 10.0
"""After the grace: for everything from the end of the drain to the end of the process."""


class Service(Protocol):
    """What a process serves."""

    @property
    def app(self) -> ASGIApp:
        """The ASGI application. Its lifespan starts and stops the service."""

    def begin_drain(self) -> None:
        """Not ready any more; refuse new queries with ``ShuttingDownError``, go on with those in flight."""

    async def drained(self, grace_seconds: float) -> None:
        """Return when no query is in flight, at the latest after ``grace_seconds``."""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How the process behaves to clients and at its end.

    Attributes:
        grace_seconds: how long queries in flight may go on after the first signal.
        guard: limits of each connection.
    """

    grace_seconds: float = 30.0
    guard: GuardOptions = field(default_factory=GuardOptions)

    def __post_init__(self) -> None:
        if self.grace_seconds < 0:
            raise ValueError(f"grace_seconds must not be below 0, not {self.grace_seconds}")


class Process:
    """Serves one service from one listening socket until it is told to stop.

    The first signal begins the drain: the listener stays open, so that probes and new queries get an honest
    503. When the drain is over, or at a second signal, connections are closed, requests still running are
    cancelled and awaited, then the service is stopped. Where other processes take over, the drain begins
    when nothing comes any more on the connections that were open.

    Args:
        service: what is served.
        listener: where; closed at the end.
        options: grace and guards.
        stop_requests: who says when to stop.
        leave_within: ends the process after so many seconds with a status, should all else hang.
        announce: called when queries are welcome.
    """

    def __init__(
        self,
        *,
        service: Service,
        listener: socket.socket,
        options: ProcessOptions,
        stop_requests: StopRequests,
        leave_within: Callable[[float, int], None],
        announce: Callable[[], None],
    ) -> None:
        self._service = service
        self._listener = listener
        self._options = options
        self._stop_requests = stop_requests
        self._leave_within = leave_within
        self._announce = announce
        self._app = DepartingApp(service.app)
        self._server = _Server(_uvicorn_config(self._app, options.guard))

    def __repr__(self) -> str:
        return f"<Process on {self._listener}, {self._stop_requests!r}>"

    def run(self) -> None:
        """Serve until told to stop. Call it in the main thread; the process does not outlive it for long.

        Raises:
            Exception: what the service raised when it could not start or stop.
        """
        make_loop = self._server.config.get_loop_factory() or asyncio.new_event_loop
        loop = make_loop()
        status = 1
        try:
            loop.run_until_complete(self.live())
            status = 0
        finally:
            self._leave_within(EXIT_SECONDS, status)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            ignore_signals()

    async def live(self) -> None:
        """Start, serve, drain and stop on the running loop.

        Raises:
            Exception: what the service raised when it could not start or stop.
        """
        self._stop_requests.listen()
        lifespan = Lifespan(self._app)
        if not await self._start(lifespan):
            return
        try:
            await self._serve()
        finally:
            await lifespan.stop()

    async def _start(self, lifespan: Lifespan) -> bool:
        """Returns False when a signal came first and the start was undone."""
        starting = asyncio.create_task(lifespan.start())
        await _first_of(starting, self._stop_requests.asked)
        if not starting.done():
            self._leave_within(STOP_SECONDS, 0)
            starting.cancel()
            await asyncio.wait({starting})
        if starting.cancelled():
            return False
        await starting
        return True

    async def _serve(self) -> None:
        serving = asyncio.create_task(self._server.serve(sockets=handles_of(self._listener)))
        self._announce()
        try:
            await _first_of(serving, self._stop_requests.asked)
            if not self._stop_requests.urgent.is_set():
                await self._hand_over(serving)
            if not serving.done():
                await self._drain()
        finally:
            await self._end(serving)

    async def _hand_over(self, serving: asyncio.Task[None]) -> None:
        """Accept nobody; serve the clients that are here, each until its next answer."""
        self._leave_within(HAND_OVER_SECONDS + self._options.grace_seconds + STOP_SECONDS, 0)
        self._app.depart()
        for accepting in self._server.servers:
            accepting.close()
        steps = int(HAND_OVER_SECONDS / _LOOK_SECONDS)
        while steps and self._server.server_state.connections and not self._stop_requests.urgent.is_set():
            steps -= 1
            await _first_of(serving, self._stop_requests.urgent, timeout_seconds=_LOOK_SECONDS)

    async def _drain(self) -> None:
        grace_seconds = self._options.grace_seconds
        _log.info("stopping; queries in flight may take %g s, a second signal ends them", grace_seconds)
        self._leave_within(grace_seconds + STOP_SECONDS, 0)
        self._app.depart()
        self._service.begin_drain()
        draining = asyncio.create_task(self._service.drained(grace_seconds))
        await _first_of(draining, self._stop_requests.insisted)
        if not draining.done():
            draining.cancel()
            await asyncio.wait({draining})
        elif not draining.cancelled():
            await draining

    async def _end(self, serving: asyncio.Task[None]) -> None:
        """Close listener and connections; requests that do not finish are cancelled, once, and awaited."""
        self._server.should_exit = True
        await _first_of(serving, self._stop_requests.insisted, timeout_seconds=FINISH_SECONDS)
        if self._stop_requests.insisted.is_set():
            self._leave_within(FORCED_EXIT_SECONDS, 0)
        await self._cut_off()
        self._server.force_exit = True
        await serving

    async def _cut_off(self) -> None:
        requests = list(self._server.server_state.tasks)
        if requests:
            _log.warning("cutting off %d requests", len(requests))
            for request in requests:
                request.cancel()
            await asyncio.wait(requests, timeout=CANCEL_SECONDS)


def serve(build: Callable[[], Service], *, host: str, port: int, options: ProcessOptions) -> int:
    """Build a service and serve it in this process; returns the exit status."""
    exit_on_signal()

    def serving() -> None:
        with listen(host, port) as listener:
            Process(
                service=build(),
                listener=listener,
                options=options,
                stop_requests=StopRequests(clock=SystemClock()),
                leave_within=leave_within,
                announce=lambda: _log.info("listening on %s", url_of(listener)),
            ).run()

    return status_of(serving)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are heard by ``StopRequests``; uvicorn would raise them again after its end."""
        yield


def _uvicorn_config(app: ASGIApp, guard: GuardOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=GuardedProtocol.with_options(guard),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


async def _first_of(
    task: asyncio.Task[None], event: asyncio.Event, *, timeout_seconds: float | None = None
) -> None:
    """Return when the task is done, the event set or the time over; raises nothing of theirs."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
