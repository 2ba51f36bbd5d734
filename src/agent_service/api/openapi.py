"""The OpenAPI 3.1 document, made from the schemas and the table of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from agent_service import __version__
from agent_service.api import openapi_headers, operation_schemas, schemas
from agent_service.api.openai.openapi import MODELS, TAG, with_openai
from agent_service.api.problems import PROBLEM_MEDIA_TYPE, problem_of, status_of
from agent_service.api.programs.openapi import MODELS as PROGRAM_MODELS
from agent_service.api.programs.openapi import with_programs
from agent_service.api.releases import openapi as releases
from agent_service.api.streams.openapi import with_streams
from agent_service.core import errors
from agent_service.core.errors import FieldProblem, ServiceError
from agent_service.core.messages import Progress, Usage
from agent_service.core.run import StopReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from agent_service.api.query import ApiOptions
    from agent_service.programs.base import ProgramSpec

Document = dict[str, Any]

_REF = "#/components/schemas/{model}"
_INVALID = errors.InvalidRequestError(
    "Not valid: question.", fields=(FieldProblem("question", "must not be only white space"),)
)


def _begun(error: ServiceError) -> ServiceError:
    error.progress = Progress(1, Usage(prompt_tokens=412, completion_tokens=38, lm_calls=2))
    return error


_ALWAYS: tuple[ServiceError, ...] = (errors.InternalError(),)
_HISTORY_ERRORS: tuple[ServiceError, ...] = (_INVALID, errors.MemoryUnavailableError())
_RESUME_ERRORS = (errors.NotFoundError(), _INVALID, errors.MemoryUnavailableError())
_QUERY_ERRORS: tuple[ServiceError, ...] = (
    errors.MalformedRequestError("The body is not valid JSON: EOF while parsing a value at line 1 column 9."),
    _INVALID,
    errors.PayloadTooLargeError(),
    errors.UnsupportedMediaTypeError(),
    _begun(errors.ContextTooLongError()),
    _begun(StopReason.ERASED.error()),
    errors.PreconditionFailedError("The conversation's last turn has seq 12."),
    _begun(errors.BudgetExhaustedError()),
    _begun(errors.MisconfiguredError()),
    _begun(errors.UpstreamError()),
    errors.RateLimitedError("This key may send 60 queries per minute.", retry_after_seconds=12),
    errors.PoolExhaustedError(retry_after_seconds=1),
    errors.CircuitBreakerOpenError(retry_after_seconds=30),
    errors.ShuttingDownError(),
    _begun(errors.UpstreamRateLimitedError(retry_after_seconds=20)),
    errors.MemoryUnavailableError(),
    _begun(errors.DeadlineExceededError()),
)


@dataclass(frozen=True)
class _Operation:
    """What the document says of one method of one path."""

    id: str
    tag: str
    summary: str
    answers: dict[int, type[BaseModel]]
    description: str = ""
    body: type[BaseModel] | None = None
    parameters: type[BaseModel] | None = None
    errors: tuple[ServiceError, ...] = ()
    headers: tuple[str, ...] = ()
    answer_headers: tuple[str, ...] = ()
    text: str | None = None
    """Example of a plain text answer, which has no schema of ours."""


_OPERATIONS: dict[str, dict[str, _Operation]] = {
    "/api/v1/query": {
        "post": _Operation(
            "query",
            "queries",
            "Ask the agent",
            {200: schemas.QueryResponse},
            "Runs the agent on the question, with the conversation so far, and keeps the turn. "
            "Hanging up stops the run.",
            body=schemas.QueryRequest,
            errors=_QUERY_ERRORS,
            headers=("X-Request-Timeout", "If-Match", "Idempotency-Key"),
            answer_headers=("Idempotency-Replayed", *openapi_headers.RATE_LIMIT),
        )
    },
    "/api/v1/users/{user_id}/history": {
        "get": _Operation(
            "readHistory",
            "conversations",
            "Read a conversation",
            {200: schemas.HistoryPage},
            "Newest turn last. A user_id that holds a slash is sent percent-encoded.",
            parameters=schemas.HistoryRead,
            errors=_HISTORY_ERRORS,
        ),
        "delete": _Operation(
            "eraseHistory",
            "conversations",
            "Erase a conversation, or all of a user's",
            {200: schemas.HistoryErased},
            "Stops the user's queries that are in flight, so that none of them brings a turn back.",
            parameters=schemas.HistoryErase,
            errors=_HISTORY_ERRORS,
        ),
    },
    "/api/v1/users/{user_id}/sessions": {
        "get": _Operation(
            "listSessions",
            "conversations",
            "List a user's conversations",
            {200: schemas.SessionPage},
            "In a fixed order. A user_id that holds a slash is sent percent-encoded.",
            parameters=schemas.SessionsRead,
            errors=_HISTORY_ERRORS,
        ),
    },
    "/api/v1/health": {
        "get": _Operation(
            "health",
            "operations",
            "How the service is",
            {200: operation_schemas.Health, 503: operation_schemas.Health},
            "200 while healthy or degraded, 503 while unhealthy.",
        )
    },
    "/api/v1/live": {
        "get": _Operation("live", "operations", "Liveness probe", {200: operation_schemas.Live}),
    },
    "/api/v1/ready": {
        "get": _Operation(
            "ready",
            "operations",
            "Readiness probe",
            {200: operation_schemas.Ready, 503: operation_schemas.NotReady},
        ),
    },
    "/api/v1/metrics": {
        "get": _Operation(
            "metrics", "operations", "Prometheus exposition", {}, text="agent_pool_in_use 3.0\n"
        ),
    },
    "/api/v1/info": {
        "get": _Operation("info", "operations", "What runs here", {200: operation_schemas.Info}),
    },
    "/api/v1/circuit-breaker/reset": {
        "post": _Operation(
            "resetCircuitBreaker",
            "operations",
            "Close the breaker by hand",
            {200: operation_schemas.BreakerReset},
        ),
    },
}


def openapi_document(options: ApiOptions, programs: Sequence[ProgramSpec] = ()) -> Document:
    """The whole document, as it is sent: with the limits of ``options`` and the fields of ``programs``."""
    paths = {
        path: {method: _operation(operation) for method, operation in methods.items()}
        for path, methods in _OPERATIONS.items()
    } | releases.release_paths(_refusals)
    document: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Agent Service",
            "version": __version__,
            "summary": "A DSPy program behind an HTTP API.",
            "description": "Every error is a problem document (RFC 9457), below /v1/ one in OpenAI's shape.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [
            {"name": "queries", "description": "Ask the agent."},
            {"name": "conversations", "description": "What the service remembers of a user."},
            {"name": "operations", "description": "Health, probes, metrics and levers."},
            TAG,
        ],
        "paths": with_openai(with_streams(paths, resume_refusals=_refusals(_RESUME_ERRORS))),
        "components": {
            "schemas": _component_schemas(options),
            "headers": openapi_headers.component_headers(),
            "parameters": openapi_headers.component_parameters(),
        },
    }
    return with_programs(document, programs, refusals=_refusals)


def endpoints_of(document: Document) -> tuple[str, ...]:
    """Method and path of each operation that ``document`` describes."""
    return tuple(
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    )


def _component_schemas(options: ApiOptions) -> Document:
    models: set[type[BaseModel]] = {schemas.Problem, *MODELS, *PROGRAM_MODELS, *releases.MODELS}
    for operation in (each for methods in _OPERATIONS.values() for each in methods.values()):
        models.update(operation.answers.values())
        models.update({operation.body} if operation.body else ())
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    components: Document = definitions["$defs"]
    components["QueryRequest"]["properties"]["question"]["maxLength"] = options.max_question_chars
    components["QueryRequest"]["description"] = "One question to the agent."
    return components


def _operation(operation: _Operation) -> Document:
    document: Document = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {"application/json": _content(operation.body)}
        document["requestBody"] = {"required": True, "content": content}
    return document


def _parameters(operation: _Operation) -> list[Document]:
    headers = ("X-Request-ID", *operation.headers)
    parameters: list[Document] = [{"$ref": f"#/components/parameters/{name}"} for name in headers]
    if operation.parameters is not None:
        schema = operation.parameters.model_json_schema()
        parameters += [_parameter(name, schema) for name in schema["properties"]]
    return parameters


def _parameter(name: str, schema: Document) -> Document:
    own = dict(schema["properties"][name])
    in_path = name == "user_id"
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": in_path,
        "description": own.pop("description"),
        "schema": own,
    }


def _responses(operation: _Operation) -> Document:
    responses: Document = {
        str(status): _response(model.__doc__ or "", {"application/json": _content(model)})
        for status, model in operation.answers.items()
    }
    if operation.text is not None:
        content = {"text/plain": {"schema": {"type": "string"}, "example": operation.text}}
        responses["200"] = _response("The metrics.", content)
    responses["200"]["headers"] |= openapi_headers.references(operation.answer_headers)
    return responses | _refusals(operation.errors)


def _refusals(those: Sequence[ServiceError]) -> Document:
    """The responses that are problems, by status."""
    by_status: dict[int, list[ServiceError]] = {}
    for error in (*those, *_ALWAYS):
        by_status.setdefault(status_of(error), []).append(error)
    return {str(status): _problems(of_status) for status, of_status in sorted(by_status.items())}


def _problems(those: Sequence[ServiceError]) -> Document:
    examples = {
        error.code: {
            "summary": error.title,
            "value": problem_of(error, openapi_headers.EXAMPLE_REQUEST_ID).model_dump(exclude_unset=True),
        }
        for error in those
    }
    content = {"schema": {"$ref": _REF.format(model="Problem")}, "examples": examples}
    description = "; ".join(f"`{error.code}`: {error.title}" for error in those)
    response = _response(description, {PROBLEM_MEDIA_TYPE: content})
    response["headers"] |= openapi_headers.references(openapi_headers.headers_of_problems(those))
    return response


def _response(description: str, content: Document) -> Document:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    return {"description": description, "headers": headers, "content": content}


def _content(model: type[BaseModel]) -> Document:
    extra: Any = model.model_config["json_schema_extra"]
    return {"schema": {"$ref": _REF.format(model=model.__name__)}, "example": extra["examples"][0]}
