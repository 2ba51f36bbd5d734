"""Server-sent events as a response (WHATWG HTML, section 9.2), for as long as the client takes them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from agent_service.api.departures import DEPARTURES
from agent_service.api.middleware import ERROR_CODE
from agent_service.core.context import REQUEST_ID
from agent_service.core.errors import ServiceError
from agent_service.core.stream_events import ERROR, StreamEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Receive, Scope, Send

    from agent_service.runtime.streams.base import EventSource, Presentation

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
"""Longest silence on a stream: proxies commonly close a connection after 60 s of it."""

_HEARTBEAT = b": still here\n\n"


class EventStream:
    """An ASGI response that sends the events of a source, the last one included, then ends.

    Args:
        source: left when the response ends, however it does.
        presentation: writes the error of a source that cannot be read any further.
        write: events as they are sent; those of this service's own protocol by default.
    """

    def __init__(
        self,
        source: EventSource,
        *,
        presentation: Presentation,
        write: Callable[[Sequence[StreamEvent]], bytes] | None = None,
    ) -> None:
        self._source = source
        self._presentation = presentation
        self._write = write or _body

    def __repr__(self) -> str:
        return f"<EventStream of {self._source!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events.

        Raises:
            starlette.requests.ClientDisconnect: the client left, or was cut off because it read too slowly.
        """
        sending = asyncio.ensure_future(self._send(scope, send))
        leaving = asyncio.ensure_future(_client_gone(receive))
        try:
            await asyncio.wait({sending, leaving, self._source.cut_off}, return_when=asyncio.FIRST_COMPLETED)
            if self._source.cut_off.done() and DEPARTURES in scope:
                scope[DEPARTURES].hang_up()
            if not sending.done():
                raise ClientDisconnect
            sending.result()
        finally:
            self._source.leave()
            sending.cancel()
            leaving.cancel()
            await asyncio.wait({sending, leaving})

    async def _send(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers()})
        last: StreamEvent | None = None
        while last is None or not last.is_last:
            try:
                events = await self._source.take(HEARTBEAT_SECONDS)
            except ServiceError as error:
                events = [StreamEvent(0, ERROR, self._presentation.problem(error, REQUEST_ID.get()))]
            last = events[-1] if events else last
            if last is not None and last.kind == ERROR:
                scope[ERROR_CODE] = json.loads(last.data)["error"]
            await send(
                {"type": "http.response.body", "body": self._write(events) or _HEARTBEAT, "more_body": True}
            )
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        return [*headers, (b"idempotency-replayed", b"true")] if self._source.is_replay else headers


def frame(event: StreamEvent) -> bytes:
    """One event as it is sent; one that has no place in the stream goes without an id."""
    place = f"id: {event.id}\n" if event.id else ""
    return f"{place}event: {event.kind}\ndata: {event.data}\n\n".encode()


def _body(events: Sequence[StreamEvent]) -> bytes:
    return b"".join(map(frame, events))


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
