"""What the OpenAPI document says of keys: how they are sent, where they are needed, how one is refused."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agent_service.api.access.gate import scope_of
from agent_service.api.openapi_headers import EXAMPLE_REQUEST_ID
from agent_service.api.problems import PROBLEM_MEDIA_TYPE, problem_of, status_of
from agent_service.core.errors import (
    ForbiddenError,
    IdentityUnavailableError,
    ServiceError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]

_SCHEMES: Document = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of `agent-service keys create`, or a token of the identity provider.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}
_PROBLEM, _OPENAI = (PROBLEM_MEDIA_TYPE, "Problem"), ("application/json", "ErrorAnswer")
_HEADERS: Document = {
    "WWW-Authenticate": {
        "description": "How to come with a key, and what is wrong with the one that came (RFC 6750).",
        "schema": {"type": "string"},
        "example": 'Bearer realm="agent-service", error="invalid_token"',
    }
}
_ERRORS: tuple[ServiceError, ...] = (
    UnauthorizedError("The key is not known."),
    ForbiddenError("This key belongs to another user_id."),
    IdentityUnavailableError(retry_after_seconds=10),
)


def with_access(
    document: Document, *, is_required: bool, openai_error: Callable[[ServiceError], Document]
) -> Document:
    """``document`` with the keys that its operations ask for; without ``is_required`` they may do without.

    ``openai_error`` is an error as the clients of the paths below ``/v1/`` read it.
    """
    components = document["components"]
    headers = components["headers"] | _HEADERS
    found = {
        **document,
        "paths": deepcopy(document["paths"]),
        "components": {**components, "headers": headers, "securitySchemes": _SCHEMES},
    }
    ways: list[Document] = [{name: []} for name in _SCHEMES]
    for path, methods in found["paths"].items():
        shape = _OPENAI if path.startswith("/v1/") else _PROBLEM
        scope, refusals = scope_of(path), _refusals(openai_error if shape is _OPENAI else _problem)
        for operation in methods.values():
            operation["security"] = [] if scope is None else ways if is_required else [*ways, {}]
            if scope is not None:
                operation["description"] = f"{operation['description']} Needs the scope `{scope}`.".strip()
                operation["responses"] = _with_refusals(operation["responses"], refusals, shape)
    return found


def _refusals(body_of: Callable[[ServiceError], Document]) -> dict[ServiceError, Document]:
    return {error: {"summary": error.title, "value": body_of(error)} for error in _ERRORS}


def _with_refusals(
    responses: Document, refusals: dict[ServiceError, Document], shape: tuple[str, str]
) -> Document:
    media_type, model = shape
    found = deepcopy(responses)
    for error, example in refusals.items():
        response = found.setdefault(str(status_of(error)), _response())
        empty = {"schema": {"$ref": f"#/components/schemas/{model}"}, "examples": {}}
        response["content"].setdefault(media_type, empty)["examples"][error.code] = example
        told = [response["description"], f"`{error.code}`: {error.title}"]
        response["description"] = "; ".join(filter(None, told))
        header = "WWW-Authenticate" if error.retry_after_seconds is None else "Retry-After"
        response["headers"][header] = {"$ref": f"#/components/headers/{header}"}
    return dict(sorted(found.items()))


def _response() -> Document:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    return {"description": "", "headers": headers, "content": {}}


def _problem(error: ServiceError) -> Document:
    return problem_of(error, EXAMPLE_REQUEST_ID).model_dump(exclude_unset=True)
