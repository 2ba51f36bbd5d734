from __future__ import annotations

import json

import pytest

from agent_service.api.openai.errors import error_response, stream_error
from agent_service.core.errors import (
    CircuitBreakerOpenError,
    FieldProblem,
    InvalidRequestError,
    MisconfiguredError,
    ServiceError,
)


def _told(error: ServiceError) -> tuple[int, dict[str, str], dict[str, object]]:
    response = error_response(error, "r1")
    return response.status_code, dict(response.headers), json.loads(bytes(response.body))["error"]


def test_an_error_has_the_shape_and_the_code() -> None:
    """Message, coarse type, our stable code; status and Retry-After as everywhere."""
    status, headers, error = _told(CircuitBreakerOpenError(retry_after_seconds=7))

    assert status == 503
    assert headers["retry-after"] == "7"
    assert error == {
        "message": "The language model is failing and is given a rest.",
        "type": "server_error",
        "param": None,
        "code": "circuit_breaker_open",
    }


def test_an_invalid_field_is_the_param_and_all_are_in_the_message() -> None:
    """Clients show the message, and nothing else."""
    fields = (FieldProblem("n", "must be 1"), FieldProblem("tools", "must be left out"))

    _, _, error = _told(InvalidRequestError("Not valid.", fields=fields))

    assert (error["param"], error["message"]) == ("n", "Not valid. n: must be 1 tools: must be left out")


@pytest.mark.parametrize(
    ("error", "should"), [(CircuitBreakerOpenError(), "true"), (MisconfiguredError(), "false")]
)
def test_clients_are_told_whether_to_send_it_again(error: ServiceError, should: str) -> None:
    """OpenAI's clients send everything above 499 again otherwise, also what cannot succeed."""
    assert _told(error)[1]["x-should-retry"] == should


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (504, "server_error"),
    ],
)
def test_the_type_is_by_status(status: int, kind: str) -> None:
    """OpenAI's own words."""
    assert stream_error({"status": status, "error": "x", "detail": "y"})["type"] == kind


def test_a_problem_within_a_stream_is_told_the_same_way() -> None:
    """From the problem document that ends the stream."""
    assert stream_error({"status": 504, "error": "timeout", "detail": "Too long.", "title": "x"}) == {
        "message": "Too long.",
        "type": "server_error",
        "param": None,
        "code": "timeout",
    }
