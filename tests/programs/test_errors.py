"""What a program raised, in the caller's terms."""

from __future__ import annotations

import dspy
import pytest
from dspy.utils import exceptions as dspy_errors

from agent_service.core.errors import (
    CircuitBreakerOpenError,
    ContextTooLongError,
    InternalError,
    MisconfiguredError,
    ServiceError,
    ShuttingDownError,
    UnreadableReplyError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from agent_service.core.run import RunStoppedError, StopReason
from agent_service.programs.errors import translate
from agent_service.programs.lm.seam import RefusedError

SECRET = "sk-123 in /srv/app said: you are a helpful"
UNREADABLE = dspy_errors.AdapterParseError("ChatAdapter", dspy.Signature("q -> a"), SECRET)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (dspy_errors.ContextWindowExceededError(message=SECRET), ContextTooLongError),
        (dspy_errors.LMRateLimitError(SECRET), UpstreamRateLimitedError),
        (dspy_errors.LMAuthError(SECRET), MisconfiguredError),
        (dspy_errors.LMBillingError(SECRET), MisconfiguredError),
        (dspy_errors.LMNotConfiguredError(SECRET), MisconfiguredError),
        (dspy_errors.LMUnsupportedModelError(SECRET), MisconfiguredError),
        (dspy_errors.LMUnsupportedFeatureError(SECRET), MisconfiguredError),
        (dspy_errors.LMInvalidRequestError(SECRET), UpstreamError),
        (dspy_errors.LMServerError(SECRET), UpstreamError),
        (dspy_errors.LMTimeoutError(SECRET), UpstreamError),
        (dspy_errors.LMTransportError(SECRET), UpstreamError),
        (dspy_errors.LMProviderError(SECRET), UpstreamError),
        (dspy_errors.LMStreamAssemblyError(SECRET), UpstreamError),
        (dspy_errors.LMUnexpectedError(SECRET), InternalError),
        (UNREADABLE, UnreadableReplyError),
        (ValueError(SECRET), InternalError),
        (KeyError(SECRET), InternalError),
        (RecursionError(SECRET), InternalError),
        (SystemExit(SECRET), InternalError),
    ],
)
def test_each_error_has_a_meaning_and_no_secrets(error: BaseException, meaning: type[ServiceError]) -> None:
    """The caller learns whose fault it is; what was said inside stays inside."""
    told = translate(error)
    assert type(told) is meaning
    assert "sk-123" not in told.detail
    assert "srv" not in told.detail


def test_a_refusal_of_the_seam_is_what_it_carries() -> None:
    """The breaker's own words, with the time to come back."""
    refusal = CircuitBreakerOpenError(retry_after_seconds=7.0)
    assert translate(RefusedError(refusal)) is refusal


def test_the_provider_s_time_to_come_back_is_passed_on() -> None:
    """The caller cannot know better."""
    told = translate(dspy_errors.LMRateLimitError("x", retry_after=12.0))
    assert told.retry_after_seconds == 12.0


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """``error`` as ``raise error from cause`` leaves it."""
    error.__cause__ = cause
    return error


def test_what_a_program_wraps_is_found() -> None:
    """A program that raises an error of its own from the model's still had a failing model."""
    down = dspy_errors.LMServerError("down")
    assert type(translate(caused(RuntimeError("my program failed"), down))) is UpstreamError

    while_handling = KeyError("x")
    while_handling.__context__ = down
    assert type(translate(while_handling)) is UpstreamError
    while_handling.__suppress_context__ = True
    assert type(translate(while_handling)) is InternalError


def test_a_stop_that_a_program_wrapped_is_still_a_stop() -> None:
    """A program may catch everything; the reason is found all the same."""
    stop = RunStoppedError(StopReason.SHUTDOWN)
    assert type(translate(caused(RuntimeError("wrapped"), stop))) is ShuttingDownError


def test_a_circle_of_causes_ends() -> None:
    """Errors that name each other as cause do not hold the service up."""
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert type(translate(one)) is InternalError


def test_the_service_s_own_errors_stay_as_they_are() -> None:
    """They are written for the caller already."""
    error = UpstreamError("said before")
    assert translate(error) is error
