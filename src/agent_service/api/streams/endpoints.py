"""POST /api/v1/query/stream, and who asks the plain endpoint for events: the same query, followed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_service.api.query import while_connected
from agent_service.api.requests import read_parameters, validated
from agent_service.api.streams.response import MEDIA_TYPE, EventStream
from agent_service.api.streams.schemas import StreamParameters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from agent_service.api.query import Queries
    from agent_service.runtime.streams.base import Following, Presentation

_PLAIN_MEDIA_TYPES = ("application/json", "*/*", "application/*")
_QUALITY = re.compile(r";\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)


class StreamedQueries:
    """The endpoint that answers questions as event streams.

    Args:
        queries: reads the requests, as for the plain endpoint.
        following: answers and tells of the steps.
        presentation: writes what a stream ends with.
    """

    def __init__(self, *, queries: Queries, following: Following, presentation: Presentation) -> None:
        self._queries = queries
        self._following = following
        self._presentation = presentation

    async def ask(self, request: Request) -> EventStream:
        """Answer the question in the body by events; refusals are those of the plain endpoint."""
        parameters = validated(StreamParameters, read_parameters(request))
        query = await self._queries.read(request)
        goes_on = parameters.on_disconnect == "continue"
        source = await while_connected(self._following.follow(query, goes_on=goes_on), request.receive)
        return EventStream(source, presentation=self._presentation)

    def or_plain(
        self, plain: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response | EventStream]]:
        """A handler that answers by events where the client prefers them, else as ``plain`` does."""

        async def ask(request: Request) -> Response | EventStream:
            wants_events = prefers_events(request.headers.get("accept", ""))
            return await self.ask(request) if wants_events else await plain(request)

        return ask


def prefers_events(accept: str) -> bool:
    """Whether an ``Accept`` header names event streams, and no JSON before them (RFC 9110, 12.5.1)."""
    best, chosen = 0.0, ""
    for text in accept.lower().split(","):
        media_type = text.partition(";")[0].strip()
        weighed = _QUALITY.search(text)
        quality = float(weighed[1]) if weighed else 1.0
        if media_type in {MEDIA_TYPE, *_PLAIN_MEDIA_TYPES} and quality > best:
            best, chosen = quality, media_type
    return chosen == MEDIA_TYPE
