"""Errors in OpenAI's shape, with the same statuses, headers and codes as everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from agent_service.api.openai.answers import ErrorAnswer, ErrorDetail
from agent_service.api.problems import headers_of, status_of
from agent_service.core.errors import InvalidRequestError

if TYPE_CHECKING:
    from agent_service.core.errors import ServiceError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_SERVER_ERROR = 500

CHANGED = {
    "status": 502,
    "error": "upstream_error",
    "detail": "The model's reply was replaced after a part of it was sent. Ask again.",
}
"""The problem of a streamed answer that is not what was sent of it."""


def error_response(error: ServiceError, request_id: str) -> Response:  # noqa: ARG001 - a header has the id
    """The answer that tells a client of ``error``, and its SDK whether to send the request again."""
    fields = error.fields if isinstance(error, InvalidRequestError) else ()
    problems = [f"{at.field}: {at.problem}" for at in fields]
    document = error_document(
        status_of(error), error.code, " ".join([error.detail, *problems]), fields[0].field if fields else None
    )
    return Response(
        ErrorAnswer(error=document).model_dump_json(),
        status_code=status_of(error),
        headers={**headers_of(error), "X-Should-Retry": "true" if error.may_retry else "false"},
        media_type="application/json",
    )


def error_example(error: ServiceError) -> dict[str, Any]:
    """``error`` for the OpenAPI document."""
    return ErrorAnswer(error=error_document(status_of(error), error.code, error.detail)).model_dump()


def stream_error(problem: dict[str, Any]) -> dict[str, Any]:
    """A problem document as clients find it within a stream."""
    return error_document(problem["status"], problem["error"], problem["detail"]).model_dump()


def error_document(status: int, code: str, message: str, param: str | None = None) -> ErrorDetail:
    """What OpenAI's clients read of an error; its ``type`` is a coarse one."""
    kind = "invalid_request_error" if status < _SERVER_ERROR else "server_error"
    return ErrorDetail(message=message, type=_TYPES.get(status, kind), param=param, code=code)
