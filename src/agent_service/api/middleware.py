"""The boundary around every request: its identity, its errors, its headers, its event."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from agent_service.access.base import ANSWER_HEADERS
from agent_service.api.problems import problem_response
from agent_service.core.caller import ANYBODY, CALLER
from agent_service.core.context import REQUEST_ID
from agent_service.core.errors import InternalError, ServiceError
from agent_service.core.identity import new_id
from agent_service.core.observer import HttpRequestFinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

    ErrorResponse = Callable[[str, ServiceError, str], Response]

_log = logging.getLogger(__name__)

ROUTE_TEMPLATE = "agent_service.route"
"""Key of the request's scope under which the matched endpoint leaves its path template."""

ERROR_CODE = "agent_service.error"
"""Key of the scope under which a stream leaves the code of the error that it ended with."""

_CLIENT_LEFT_STATUS = 499
_VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class RequestBoundary:
    """An ASGI app around another one: what goes wrong within becomes a problem document.

    Every answer carries ``X-Request-ID`` (the caller's own when it is 1-64 of ``A-Z a-z 0-9 . _ -``),
    ``X-Content-Type-Options: nosniff``, what was left in ``ANSWER_HEADERS`` and, unless the answer says
    otherwise, ``Cache-Control: no-store``. Within, ``REQUEST_ID`` holds the identity. Afterwards the observer
    gets one ``HttpRequestFinished``, with the code of the problem that was the answer or the end of a stream,
    or status 499 and no code when the client left before there was one. The error of an answer that breaks
    off half-way is raised, so that the server cuts the connection instead of pretending an end.

    Args:
        app: what answers.
        observer: gets the events.
        clock: measures requests.
        error_response: the answer at a path to an error of a request, a problem document by default.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        observer: Observer,
        clock: Clock,
        error_response: ErrorResponse = lambda _, error, request_id: problem_response(error, request_id),
    ) -> None:
        self._app = app
        self._observer = observer
        self._clock = clock
        self._error_response = error_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_seconds = self._clock.monotonic()
        exchange = _Exchange(scope, receive, send, _request_id(scope), self._error_response)
        token, caller, told = REQUEST_ID.set(exchange.request_id), CALLER.set(ANYBODY), ANSWER_HEADERS.set({})
        try:
            await exchange.run(self._app)
        finally:
            self._observer.observe(exchange.finished(self._clock.monotonic() - started_seconds))
            REQUEST_ID.reset(token)
            CALLER.reset(caller)
            ANSWER_HEADERS.reset(told)


class _Exchange:
    """One request and what has been said in return so far."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, error_response: ErrorResponse
    ) -> None:
        self.request_id = request_id
        self._error_response = error_response
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._error: str | None = None

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._receive, self._pass_on)
        except ClientDisconnect:
            _log.debug("the client left before the answer")
        except ServiceError as error:
            await self._refuse(error)
        except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer without its text
            _log.exception("a request failed unexpectedly", extra={"route": self._route})
            await self._refuse(InternalError())

    def finished(self, latency_seconds: float) -> HttpRequestFinished:
        method = self._scope["method"]
        return HttpRequestFinished(
            request_id=self.request_id,
            route=self._route,
            method=method if method in _METHODS else "OTHER",
            status=self._status or _CLIENT_LEFT_STATUS,
            latency_seconds=latency_seconds,
            error=self._error or self._scope.get(ERROR_CODE),
        )

    @property
    def _route(self) -> str:
        return str(self._scope.get(ROUTE_TEMPLATE, "unmatched"))

    async def _refuse(self, error: ServiceError) -> None:
        if self._status is not None:
            raise error  # too late for another status: the server must cut the connection
        self._error = error.code
        response = self._error_response(self._scope["path"], error, self.request_id)
        await response(self._scope, self._receive, self._pass_on)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers: list[tuple[bytes, bytes]] = message["headers"]
            headers.append((b"x-request-id", self.request_id.encode()))
            headers.append((b"x-content-type-options", b"nosniff"))
            headers.extend((name.encode(), value.encode()) for name, value in ANSWER_HEADERS.get().items())
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
        await self._send(message)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _VALID_REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return new_id()
