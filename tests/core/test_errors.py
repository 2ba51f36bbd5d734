"""Rules of the errors: one root, stable codes, whose fault, and words that callers may read."""

from __future__ import annotations

import pytest

from agent_service.core import errors
from agent_service.core.errors import (
    FieldProblem,
    InvalidRequestError,
    MalformedRequestError,
    MethodNotAllowedError,
    PoolExhaustedError,
    ServiceError,
    UnreadableReplyError,
)
from agent_service.core.messages import Progress, Usage

ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ServiceError) and kind is not ServiceError
]
CODES = {
    "invalid_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "payload_too_large",
    "unsupported_media_type",
    "rate_limited",
    "conflict",
    "precondition_failed",
    "context_too_long",
    "budget_exhausted",
    "pool_exhausted",
    "circuit_breaker_open",
    "shutting_down",
    "upstream_rate_limited",
    "upstream_error",
    "memory_unavailable",
    "identity_unavailable",
    "releases_unavailable",
    "timeout",
    "cancelled",
    "misconfigured",
    "internal_error",
}


def test_the_codes_are_those_of_the_contract() -> None:
    """Codes are public: none is renamed, removed or added unnoticed."""
    assert {kind.code for kind in ERRORS} == CODES


def test_a_code_belongs_to_one_class() -> None:
    """Who reads a code knows what happened; a kind that only the service tells apart shares its parent's."""
    shared = [kind for kind in ERRORS if kind not in {MalformedRequestError, UnreadableReplyError}]
    assert len({kind.code for kind in shared}) == len(shared)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_says_whose_fault_it_is(kind: type[ServiceError]) -> None:
    """Each class has its own title and a fault."""
    assert kind.title
    assert isinstance(kind.fault, errors.Fault)


@pytest.mark.parametrize(
    "kind",
    [
        errors.RateLimitedError,
        errors.PoolExhaustedError,
        errors.CircuitBreakerOpenError,
        errors.ShuttingDownError,
        errors.UpstreamRateLimitedError,
        errors.MemoryUnavailableError,
        errors.IdentityUnavailableError,
        errors.ReleasesUnavailableError,
    ],
)
def test_what_passes_by_itself_may_be_retried(kind: type[ServiceError]) -> None:
    """An error that tells its caller when to come back may be retried unchanged."""
    assert kind.may_retry


@pytest.mark.parametrize(
    "kind",
    [
        errors.InvalidRequestError,
        errors.UnauthorizedError,
        errors.ContextTooLongError,
        errors.MisconfiguredError,
        errors.InternalError,
    ],
)
def test_what_will_not_change_is_not_retried(kind: type[ServiceError]) -> None:
    """An error that the same request would meet again says so."""
    assert not kind.may_retry


def test_without_a_detail_the_title_is_the_detail() -> None:
    """A caller always reads a sentence."""
    error = PoolExhaustedError()
    assert error.detail == str(error) == "All agents are busy."
    assert error.retry_after_seconds is None


def test_detail_and_retry_after_are_kept() -> None:
    """What happened this time, and when to come back."""
    error = PoolExhaustedError("Full.", retry_after_seconds=3.0)
    assert error.detail == str(error) == "Full."
    assert error.retry_after_seconds == 3.0


def test_an_error_carries_progress_only_when_somebody_set_it() -> None:
    """What had been done belongs to one failed query, never to the next one."""
    error = PoolExhaustedError()
    error.progress = Progress(reasoning_steps=2, usage=Usage(10, 5, 3))
    assert error.progress.usage.lm_calls == 3
    assert PoolExhaustedError().progress is None


def test_an_invalid_request_names_its_fields() -> None:
    """The caller learns which field is wrong and why."""
    problem = FieldProblem("question", "must not be empty")
    assert InvalidRequestError(fields=(problem,)).fields == (problem,)
    assert MalformedRequestError().fields == ()


def test_a_refused_method_says_which_are_allowed() -> None:
    """The methods are there for the Allow header and in the detail."""
    error = MethodNotAllowedError(("GET", "DELETE"))
    assert error.allowed == ("GET", "DELETE")
    assert error.detail == "Allowed here: GET, DELETE."
