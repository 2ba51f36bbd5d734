"""The life of a serving process: start, serve, drain, stop, and the exit status."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agent_service.core.clock import SystemClock
from agent_service.server.departing_app import DepartingApp
from agent_service.server.exit_status import status_of
from agent_service.server.fuse import leave_within
from agent_service.server.guarded_protocol import GuardOptions
from agent_service.server.http_server import HttpServer
from agent_service.server.lifespan import Lifespan
from agent_service.server.listener import handles_of, listen, url_of
from agent_service.server.stop_requests import StopRequests, exit_on_signal, ignore_signals
from agent_service.server.tls import Certificate, TlsOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp

_log = logging.getLogger("agent_service.server")

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

    def withdraw(self) -> None:
        """Not ready any more, but answer queries as before."""

    def begin_drain(self) -> None:
        """Not ready any more; refuse new queries with ``ShuttingDownError``, go on with those in flight."""

    async def drained(self, grace_seconds: float) -> None:
        """Return when no query is in flight, at the latest after ``grace_seconds``."""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How the process behaves to clients and at its end.

    Attributes:
        grace_seconds: how long queries in flight may go on when the drain begins.
        delay_seconds: how long queries are welcome after the first signal, while the service is not ready any
            more: for load balancers to notice.
        guard: limits of each connection.
        tls: what to serve HTTPS with; None serves HTTP.
        accepts_at_once: connections that are accepted in one turn of the loop. For one of several processes
            that share a listener it is 1, or the first to wake would take a whole crowd.
    """

    grace_seconds: float = 30.0
    delay_seconds: float = 0.0
    guard: GuardOptions = field(default_factory=GuardOptions)
    tls: TlsOptions | None = None
    accepts_at_once: int = 1

    def __post_init__(self) -> None:
        for name in ("grace_seconds", "delay_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0, not {getattr(self, name)}")
        if self.accepts_at_once < 1:
            raise ValueError(f"accepts_at_once must be at least 1, not {self.accepts_at_once}")

    @property
    def leave_seconds(self) -> float:
        """From the first signal to the end of the last query."""
        return self.delay_seconds + self.grace_seconds

    def certificate(self) -> Certificate | None:
        """What HTTPS is served with, as it is on disk.

        Raises:
            TlsError: a file cannot be read, or they do not belong together.
        """
        return None if self.tls is None else Certificate.load(self.tls, clock=SystemClock())


class Process:
    """Serves one service from one listening socket until it is told to stop.

    The first signal begins the drain, after the delay: the listener stays open, so that probes and new
    queries get an honest 503. When the drain is over, or at a second signal, connections are closed, requests
    still running are cancelled and awaited, then the service is stopped. Where other processes take over, the
    drain begins when nothing comes any more on the connections that were open.

    Args:
        service: what is served.
        listener: where; closed at the end.
        options: delay, grace and guards.
        certificate: shown to clients, and kept current; None serves plain HTTP.
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
        certificate: Certificate | None,
        stop_requests: StopRequests,
        leave_within: Callable[[float, int], None],
        announce: Callable[[], None],
    ) -> None:
        self._service = service
        self._listener = listener
        self._options = options
        self._certificate = certificate
        self._stop_requests = stop_requests
        self._leave_within = leave_within
        self._announce = announce
        self._app = DepartingApp(service.app)
        context = None if certificate is None else certificate.context
        self._server = HttpServer(self._app, guard=options.guard, tls=context)

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
        renewing = self._certificate and asyncio.create_task(self._certificate.keep_current())
        try:
            await self._serve()
        finally:
            if renewing:
                renewing.cancel()
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
        handles = handles_of(self._listener, self._options.accepts_at_once)
        serving = asyncio.create_task(self._server.serve(sockets=handles))
        self._announce()
        try:
            await _first_of(serving, self._stop_requests.asked)
            if self._stop_requests.urgent.is_set():
                await self._withdraw(serving)
            else:
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

    async def _withdraw(self, serving: asyncio.Task[None]) -> None:
        """Serve on for the delay, each client until its next answer, while probes hear that it is over."""
        delay_seconds = self._options.delay_seconds
        if delay_seconds:
            _log.info("not ready any more; queries are answered for %g s on", delay_seconds)
            self._leave_within(self._options.leave_seconds + STOP_SECONDS, 0)
            self._app.depart()
            self._service.withdraw()
            await _first_of(serving, self._stop_requests.insisted, timeout_seconds=delay_seconds)

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
        certificate = options.certificate()
        with listen(host, port) as listener:
            url = url_of(listener, is_secure=certificate is not None)
            Process(
                service=build(),
                listener=listener,
                options=options,
                certificate=certificate,
                stop_requests=StopRequests(clock=SystemClock()),
                leave_within=leave_within,
                announce=lambda: _log.info("listening on %s", url),
            ).run()

    return status_of(serving)


async def _first_of(
    task: asyncio.Task[None], event: asyncio.Event, *, timeout_seconds: float | None = None
) -> None:
    """Return when the task is done, the event set or the time over; raises nothing of theirs."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
