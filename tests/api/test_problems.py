"""Errors as status, headers and problem document."""

from __future__ import annotations

import json

import pytest

from agent_service.api.problems import STATUSES, problem_response
from agent_service.core import errors
from agent_service.core.errors import (
    BudgetExhaustedError,
    FieldProblem,
    ForbiddenError,
    InvalidRequestError,
    MalformedRequestError,
    MethodNotAllowedError,
    ServiceError,
    UnauthorizedError,
)
from agent_service.core.messages import Progress, Usage


def _every_error() -> set[type[ServiceError]]:
    kinds: list[type] = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {kind for kind in kinds if issubclass(kind, ServiceError)} - {ServiceError}


def test_every_error_has_a_status() -> None:
    """Each code of the core, and nothing else, is in the table."""
    assert {kind.code for kind in _every_error()} == set(STATUSES)


CONTRACT = {
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
    "misconfigured": 500,
    "internal_error": 500,
}
RETRY_LATER = {
    "rate_limited",
    "pool_exhausted",
    "circuit_breaker_open",
    "shutting_down",
    "upstream_rate_limited",
    "memory_unavailable",
    "identity_unavailable",
    "releases_unavailable",
}


@pytest.mark.parametrize(
    "kind",
    sorted(_every_error() - {MethodNotAllowedError, MalformedRequestError}, key=str),
)
def test_an_error_is_told_as_the_contract_says(kind: type[ServiceError]) -> None:
    """Status, document and Retry-After of each code are those of the contract."""
    response = problem_response(kind(), "req-1")

    assert response.status_code == CONTRACT.get(kind.code, 499)
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": f"urn:agent-service:error:{kind.code}",
        "title": kind.title,
        "status": response.status_code,
        "detail": f"{kind.title}.",
        "error": kind.code,
        "request_id": "req-1",
    }
    assert response.headers.get("retry-after") == ("1" if kind.code in RETRY_LATER else None)


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (60.0, "60")]
)
def test_retry_after_is_whole_seconds_and_at_least_one(seconds: float, header: str) -> None:
    """Any error that knows when to come back says so, rounded up."""
    response = problem_response(errors.UpstreamError(retry_after_seconds=seconds), "req-1")

    assert response.headers["retry-after"] == header


def test_wrong_fields_are_listed() -> None:
    """Each field at fault is named with what is allowed there."""
    error = InvalidRequestError(fields=(FieldProblem("question", "must not be blank"),))

    body = json.loads(bytes(problem_response(error, "req-1").body))

    assert body["errors"] == [{"field": "question", "problem": "must not be blank"}]


def test_a_query_that_had_begun_tells_how_far_it_came() -> None:
    """Steps and usage, in the shape that a query's answer has them, also when there was nothing yet."""
    error = BudgetExhaustedError()
    error.progress = Progress(3, Usage(prompt_tokens=412, completion_tokens=38, lm_calls=2))
    just_begun = BudgetExhaustedError()
    just_begun.progress = Progress(0, Usage())

    body = json.loads(bytes(problem_response(error, "req-1").body))
    first = json.loads(bytes(problem_response(just_begun, "req-1").body))

    assert (body["reasoning_steps"], body["usage"]) == (
        3,
        {"prompt_tokens": 412, "completion_tokens": 38, "total_tokens": 450, "lm_calls": 2},
    )
    assert (first["reasoning_steps"], first["usage"]["lm_calls"]) == (0, 0)


def test_what_cannot_be_read_is_a_bad_request() -> None:
    """Malformed is 400 where invalid is 422, under the same code."""
    response = problem_response(MalformedRequestError(), "req-1")

    assert response.status_code == 400
    assert json.loads(bytes(response.body))["error"] == "invalid_request"


def test_a_401_says_how_to_authenticate() -> None:
    """RFC 9110 section 11.6.1 asks for a challenge; RFC 6750 for what is wrong with a key that came."""
    without = problem_response(UnauthorizedError(), "req-1").headers["www-authenticate"]
    wrong = problem_response(UnauthorizedError(presented=True), "req-1").headers["www-authenticate"]

    assert without == 'Bearer realm="agent-service"'
    assert wrong == f'{without}, error="invalid_token"'


def test_a_403_names_the_scope_that_is_missing() -> None:
    """RFC 6750 section 3.1; when it is for another reason there is no better key to come with."""
    for_scope = problem_response(ForbiddenError(scope="admin"), "req-1").headers["www-authenticate"]

    assert for_scope == 'Bearer realm="agent-service", error="insufficient_scope", scope="admin"'
    assert "www-authenticate" not in problem_response(ForbiddenError(), "req-1").headers


def test_a_405_says_what_is_allowed() -> None:
    """RFC 9110 section 15.5.6 asks for the list."""
    assert problem_response(MethodNotAllowedError(("GET", "HEAD")), "req-1").headers["allow"] == "GET, HEAD"
