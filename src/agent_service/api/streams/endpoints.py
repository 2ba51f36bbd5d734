"""POST /api/v1/query/stream, and who asks the plain endpoint for events: the same query, followed."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from starlette.responses import Response

from agent_service.api.query import while_connected
from agent_service.api.requests import read_parameters, validated
from agent_service.api.streams.presentation import LastEvents
from agent_service.api.streams.response import MEDIA_TYPE, EventStream
from agent_service.api.streams.schemas import ResumeParameters, StreamParameters
from agent_service.core.errors import FieldProblem, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from agent_service.api.access.admission import Admission
    from agent_service.core.messages import Query
    from agent_service.runtime.streams.base import EventSource, Following, Resuming

LAST_EVENT_ID = "Last-Event-ID"

_PLACE = re.compile(r"[0-9]{1,15}")
_PLAIN_MEDIA_TYPES = ("application/json", "*/*", "application/*")
_QUALITY = re.compile(r";\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)


class Reading(Protocol):
    """Reads queries out of requests."""

    async def read(self, request: Request) -> Query:
        """The query in a request.

        Raises:
            ServiceError: the request is not valid, or its caller may not ask it.
        """


class StreamedQueries:
    """The endpoint that answers questions as event streams.

    Args:
        queries: reads the requests, as for the plain endpoint.
        following: answers and tells of the steps.
        resuming: reads streams again.
        admission: says who may.
    """

    def __init__(
        self, *, queries: Reading, following: Following, resuming: Resuming, admission: Admission
    ) -> None:
        self._queries = queries
        self._following = following
        self._resuming = resuming
        self._admission = admission

    async def ask(self, request: Request) -> EventStream:
        """Answer the question in the body by events; refusals are those of the plain endpoint."""
        given = read_parameters(request)
        asked = {name: value for name, value in given.items() if name not in request.path_params}
        parameters = validated(StreamParameters, asked)
        query = await self._queries.read(request)
        goes_on = parameters.on_disconnect == "continue"
        source = await while_connected(
            self._following.follow(query, goes_on=goes_on), request.receive, request.scope
        )
        return self._stream(source)

    async def resume(self, request: Request) -> Response | EventStream:
        """Pick a stream up behind the event that the client has seen last; 204 when that was its end."""
        parameters = validated(ResumeParameters, read_parameters(request))
        await self._admission.admit(parameters.user_id, "conversation")
        source = await self._resuming.resume(
            parameters.user_id, parameters.request_id, after=_last_event_id(request)
        )
        return Response(status_code=204) if source is None else self._stream(source)

    def paths(
        self, plain: Callable[[Request], Awaitable[ASGIApp]]
    ) -> dict[str, Mapping[str, Callable[[Request], Awaitable[ASGIApp]]]]:
        """The endpoints that speak of streams; ``plain`` is the handler for who prefers JSON."""
        return {
            "/api/v1/query": {"POST": self.or_plain(plain)},
            "/api/v1/query/stream": {"POST": self.ask},
            "/api/v1/queries/{request_id}/events": {"GET": self.resume},
        }

    def or_plain(
        self, plain: Callable[[Request], Awaitable[ASGIApp]]
    ) -> Callable[[Request], Awaitable[ASGIApp]]:
        """A handler that answers by events where the client prefers them, else as ``plain`` does."""

        async def ask(request: Request) -> ASGIApp:
            wants_events = prefers_events(request.headers.get("accept", ""))
            return await self.ask(request) if wants_events else await plain(request)

        return ask

    def _stream(self, source: EventSource) -> EventStream:
        return EventStream(source, presentation=LastEvents())


def _last_event_id(request: Request) -> int:
    """The place that the client has come to, 0 for the begin."""
    text = request.headers.get(LAST_EVENT_ID, "0")
    if _PLACE.fullmatch(text):
        return int(text)
    field = FieldProblem(LAST_EVENT_ID, "must be the id of an event, such as 12")
    raise InvalidRequestError(f"The {LAST_EVENT_ID} header is not valid.", fields=(field,))


@lru_cache(maxsize=16)
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
