"""The HTTP app: which handler answers which method of which path."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.websockets import WebSocketClose

from agent_service.access.base import NO_LIMITS
from agent_service.api.access.admission import Admission
from agent_service.api.access.gate import Gate
from agent_service.api.access.openapi import with_access
from agent_service.api.conversations import Conversations
from agent_service.api.documentation import Documentation
from agent_service.api.middleware import ROUTE_TEMPLATE, RequestBoundary
from agent_service.api.openai.chat.endpoint import ChatCompletions
from agent_service.api.openai.errors import error_example, error_response
from agent_service.api.openai.models import Models
from agent_service.api.openai.programs import Programs
from agent_service.api.openai.responses.endpoint import Responses
from agent_service.api.openapi import Document, endpoints_of, openapi_document
from agent_service.api.operations import Operations
from agent_service.api.playground import Playground
from agent_service.api.problems import problem_response
from agent_service.api.programs.endpoint import ProgramQueries
from agent_service.api.programs.listing import Catalogue
from agent_service.api.query import ApiOptions, Queries
from agent_service.api.releases.endpoint import Releases
from agent_service.api.streams.endpoints import StreamedQueries
from agent_service.core.errors import MethodNotAllowedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.responses import Response
    from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

    from agent_service.access.base import Identifying, Limits
    from agent_service.core.clock import Clock
    from agent_service.core.errors import ServiceError
    from agent_service.core.observer import Observer
    from agent_service.programs.base import ProgramSpec
    from agent_service.releases.operator import ReleaseOperator
    from agent_service.runtime.base import Answering, Remembering, Vitals
    from agent_service.runtime.streams.base import Following, Resuming

    Handler = Callable[[Request], Awaitable[ASGIApp]]
    Handlers = Mapping[str, Handler]

__all__ = ["ApiOptions", "create_app"]


def create_app(
    *,
    answering: Answering,
    following: Following,
    resuming: Resuming,
    remembering: Remembering,
    vitals: Vitals,
    expose_metrics: Callable[[str], Awaitable[tuple[bytes, str]]],
    observer: Observer,
    clock: Clock,
    options: ApiOptions,
    programs: Sequence[ProgramSpec],
    identifying: Identifying | None = None,
    limits: Limits = NO_LIMITS,
    release_operator: ReleaseOperator | None = None,
    lifespan: Lifespan[Any] | None = None,
) -> ASGIApp:
    """The ASGI app over the service's use cases.

    Args:
        answering: answers queries.
        following: answers queries and tells of their steps.
        resuming: reads what was told again.
        remembering: reads and erases conversations.
        vitals: how the service is.
        expose_metrics: the metrics' text and its content type, for an ``Accept`` header.
        observer: gets one ``HttpRequestFinished`` per request.
        clock: measures requests.
        options: bounds of what a caller may send.
        programs: what can be asked, the default first.
        identifying: knows callers by their keys; None asks nobody for one.
        limits: how much a caller may ask for.
        release_operator: does what callers ask of releases; None where none are kept.
        lifespan: entered at startup, left at shutdown.
    """
    document = _document(options, programs, asks_for_keys=identifying is not None)
    admission = Admission(limits=limits)
    asking = {"answering": answering, "following": following, "options": options, "admission": admission}
    operations = Operations(vitals=vitals, expose_metrics=expose_metrics, endpoints=endpoints_of(document))
    paths: dict[str, Handlers] = {
        **_queries_paths(programs, clock, resuming, **asking),
        **_users_paths(Conversations(remembering=remembering, admission=admission, programs=programs)),
        **_operations_paths(operations),
        **_releases_paths(
            Releases(catalogue=Catalogue(programs), operator=release_operator, options=options)
        ),
        **_pages(document),
    }
    routed = _routed(_guarded(paths, identifying), lifespan)
    return RequestBoundary(routed, observer=observer, clock=clock, error_response=_error_response)


def _queries_paths(
    programs: Sequence[ProgramSpec], clock: Clock, resuming: Resuming, **asking: Any
) -> dict[str, Handlers]:
    """All ways to ask; ``asking`` is what each of them needs."""
    following, admission = asking["following"], asking["admission"]
    whole = {name: part for name, part in asking.items() if name != "following"}
    streamed = partial(StreamedQueries, following=following, resuming=resuming, admission=admission)
    queries, catalogue = Queries(**whole), Catalogue(programs)
    named = ProgramQueries(catalogue=catalogue, **whole)
    models = Programs(names=[spec.name for spec in programs if spec.is_plain], **asking)
    return {
        **streamed(queries=queries).paths(queries.ask),
        **_refusing_questions(programs[0]),
        **_programs_paths(catalogue, named, streamed(queries=named)),
        **_openai_paths(models, clock),
    }


def _guarded(paths: Mapping[str, Handlers], identifying: Identifying | None) -> Mapping[str, Handlers]:
    return paths if identifying is None else Gate(identifying=identifying).guarded(paths)


def _routed(paths: Mapping[str, Handlers], lifespan: Lifespan[Any] | None) -> ASGIApp:
    """The endpoints by path: those without parameters are looked up, the router tries the others in turn."""
    endpoints = {path: Endpoint(path, handlers) for path, handlers in paths.items()}
    routes = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    router = Router(routes, redirect_slashes=False, default=_nothing_here, lifespan=lifespan)
    plain = {path: endpoint for path, endpoint in endpoints.items() if "{" not in path}

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = plain.get(scope["path"]) if scope["type"] == "http" else None
        await (router if endpoint is None else endpoint)(scope, receive, send)

    return route


def _document(options: ApiOptions, programs: Sequence[ProgramSpec], *, asks_for_keys: bool) -> Document:
    document = openapi_document(options, programs)
    return with_access(document, is_required=asks_for_keys, openai_error=error_example)


def _pages(document: Document) -> dict[str, Handlers]:
    documentation = Documentation(openapi_json=json.dumps(document).encode())
    return {
        "/": {"GET": Playground().page},
        "/docs": {"GET": documentation.page},
        "/docs/assets/{file}": {"GET": documentation.asset},
        "/openapi.json": {"GET": documentation.openapi},
    }


def _users_paths(conversations: Conversations) -> dict[str, Handlers]:
    return {
        "/api/v1/users/{user_id:path}/history": {"GET": conversations.read, "DELETE": conversations.erase},
        "/api/v1/users/{user_id:path}/sessions": {"GET": conversations.sessions},
    }


def _operations_paths(operations: Operations) -> dict[str, Handlers]:
    return {
        "/api/v1/live": {"GET": operations.live},
        "/api/v1/ready": {"GET": operations.ready},
        "/api/v1/health": {"GET": operations.health},
        "/api/v1/metrics": {"GET": operations.metrics},
        "/api/v1/info": {"GET": operations.info},
        "/api/v1/circuit-breaker/reset": {"POST": operations.reset_circuit_breaker},
    }


def _programs_paths(
    catalogue: Catalogue, queries: ProgramQueries, streams: StreamedQueries
) -> dict[str, Handlers]:
    path = "/api/v1/programs/{name}"
    return {
        "/api/v1/programs": {"GET": catalogue.list},
        path: {"GET": catalogue.retrieve},
        f"{path}/query": {"POST": streams.or_plain(queries.ask)},
        f"{path}/query/stream": {"POST": streams.ask},
    }


def _releases_paths(releases: Releases) -> dict[str, Handlers]:
    path = "/api/v1/programs/{name}/releases"
    return {
        path: {"GET": releases.list, "POST": releases.add},
        f"{path}/activate": {"POST": releases.activate},
        f"{path}/rollback": {"POST": releases.roll_back},
    }


def _refusing_questions(default: ProgramSpec) -> dict[str, Handlers]:
    """Instead of the plain endpoints, where the default program cannot be asked a question alone."""
    if default.is_plain:
        return {}

    async def refuse(request: Request) -> ASGIApp:  # noqa: ARG001 - the signature of a handler
        raise NotFoundError(
            f"The program {default.name} takes no plain question. "
            f"Its inputs are {', '.join(default.inputs)}: send them to /api/v1/programs/{default.name}/query."
        )

    return {path: {"POST": refuse} for path in ("/api/v1/query", "/api/v1/query/stream")}


def _openai_paths(programs: Programs, clock: Clock) -> dict[str, Handlers]:
    models = Models(programs=programs)
    return {
        "/v1/models": {"GET": models.list},
        "/v1/models/{model}": {"GET": models.retrieve},
        "/v1/chat/completions": {"POST": ChatCompletions(programs=programs, clock=clock).create},
        "/v1/responses": {"POST": Responses(programs=programs, clock=clock).create},
    }


class Endpoint:
    """One path as an ASGI app: a handler for each method; ``HEAD`` is answered where ``GET`` is.

    Leaves the path's template in the scope for the boundary's event.
    """

    def __init__(self, path: str, handlers: Handlers) -> None:
        self._template = path.replace(":path}", "}")
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]

    def __repr__(self) -> str:
        return f"<Endpoint {' '.join(self._handlers)} {self._template}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            MethodNotAllowedError: the path has no handler for the method.
        """
        scope[ROUTE_TEMPLATE] = self._template
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowedError(tuple(self._handlers))
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)


def _error_response(path: str, error: ServiceError, request_id: str) -> Response:
    """In the shape that the clients of the path read."""
    write = error_response if path.startswith("/v1/") else problem_response
    return write(error, request_id)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    raise NotFoundError("Nothing is at this path; /docs shows what there is.")
