"""Errors as HTTP sees them: the one place where they become statuses, headers and problem documents.

The document is RFC 9457's; ``Retry-After`` is RFC 9110 section 10.2.3, ``Allow`` its section 10.2.1,
``WWW-Authenticate`` RFC 6750 section 3.
"""

from __future__ import annotations

import math

from starlette.responses import Response

from agent_service.api.schemas import Problem, ProblemField, TokenUsage
from agent_service.core.errors import (
    ForbiddenError,
    InvalidRequestError,
    MalformedRequestError,
    MethodNotAllowedError,
    ServiceError,
    UnauthorizedError,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"

STATUSES: dict[str, int] = {
    "invalid_request": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "conflict": 409,
    "precondition_failed": 412,
    "context_too_long": 413,
    "budget_exhausted": 422,
    "pool_exhausted": 503,
    "circuit_breaker_open": 503,
    "shutting_down": 503,
    "upstream_rate_limited": 503,
    "upstream_error": 502,
    "memory_unavailable": 503,
    "identity_unavailable": 503,
    "releases_unavailable": 503,
    "timeout": 504,
    "cancelled": 499,
    "misconfigured": 500,
    "internal_error": 500,
}
"""Status by code; a malformed request is the exception, see ``status_of``."""

RETRY_AFTER_CODES = frozenset(code for code, status in STATUSES.items() if status in {429, 503})
"""Codes whose answers always say when to come back."""


def status_of(error: ServiceError) -> int:
    """The HTTP status of ``error``."""
    return 400 if isinstance(error, MalformedRequestError) else STATUSES[error.code]


def problem_of(error: ServiceError, request_id: str) -> Problem:
    """The problem document of ``error``, with the fields at fault or the query's progress, if it has any."""
    problem = Problem(
        type=f"urn:agent-service:error:{error.code}",
        title=error.title,
        status=status_of(error),
        detail=error.detail,
        error=error.code,
        request_id=request_id,
    )
    if isinstance(error, InvalidRequestError) and error.fields:
        problem.errors = [ProblemField(field=at.field, problem=at.problem) for at in error.fields]
    if error.progress is not None:
        problem.reasoning_steps = error.progress.reasoning_steps
        problem.usage = TokenUsage.model_validate(error.progress.usage, from_attributes=True)
    return problem


def problem_response(error: ServiceError, request_id: str) -> Response:
    """The answer that tells a caller of ``error``."""
    return Response(
        problem_of(error, request_id).model_dump_json(exclude_unset=True),
        status_code=status_of(error),
        headers=headers_of(error),
        media_type=PROBLEM_MEDIA_TYPE,
    )


def headers_of(error: ServiceError) -> dict[str, str]:
    """The headers that go with ``error``, whatever the shape of its document."""
    headers: dict[str, str] = {}
    if error.retry_after_seconds is not None or error.code in RETRY_AFTER_CODES:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds or 0)))
    if (challenge := _challenge(error)) is not None:
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = ", ".join(error.allowed)
    return headers


def _challenge(error: ServiceError) -> str | None:
    """How to come with a key; of one that was presented, what is wrong with it."""
    realm = 'Bearer realm="agent-service"'
    if isinstance(error, UnauthorizedError):
        return f'{realm}, error="invalid_token"' if error.presented else realm
    if isinstance(error, ForbiddenError) and error.scope is not None:
        return f'{realm}, error="insufficient_scope", scope="{error.scope}"'
    return None
