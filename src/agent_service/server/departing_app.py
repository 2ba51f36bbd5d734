"""The served application while the process leaves: no client is left without a word."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from agent_service.api.problems import problem_response
from agent_service.core.errors import ShuttingDownError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class DepartingApp:
    """An ASGI app around another one.

    After ``depart`` each answer ends its connection (RFC 9112 section 9.6), so that keep-alive clients and
    load balancers reconnect to another process, and a request that is cut off without an answer gets the 503
    of ``ShuttingDownError``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._departing = False

    def __repr__(self) -> str:
        return f"<DepartingApp {'departing' if self._departing else 'staying'}>"

    def depart(self) -> None:
        """From now on, send clients elsewhere."""
        self._departing = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer_started = False

        async def pass_on(message: Message) -> None:
            nonlocal answer_started
            if message["type"] == "http.response.start":
                answer_started = True
                if self._departing:
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        try:
            await self._app(scope, receive, pass_on)
        except asyncio.CancelledError:
            if not self._departing:
                raise
            if not answer_started:
                await _refuse(scope, receive, pass_on)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    request_id = str(uuid.uuid4())
    response = problem_response(ShuttingDownError(), request_id)
    response.headers["X-Request-ID"] = request_id
    await response(scope, receive, send)
