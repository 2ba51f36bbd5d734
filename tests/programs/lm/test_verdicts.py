"""What a failed LM call means, by the error's type and status and never by its text."""

from __future__ import annotations

import pytest
from dspy import lm15

from agent_service.programs.lm.verdicts import BreakerReport, BrokenOffError, Verdict, judge, may_fall_back

ALARMING = "timeout: connection reset by peer, 500 Internal Server Error, rate limit"


@pytest.mark.parametrize(
    "error",
    [
        lm15.RateLimitError("x", status=429),
        lm15.TimeoutError("x", status=504),
        lm15.ServerError("x", status=500),
        lm15.TransportError("x"),
        lm15.ProviderError("x", status=200),
        lm15.ProviderError("x"),
    ],
)
def test_what_may_pass_is_worth_a_retry(error: Exception) -> None:
    """Storms, limits and torn answers may be gone at the next attempt."""
    assert judge(error).retry


@pytest.mark.parametrize(
    "error",
    [
        lm15.AuthError("x", status=401),
        lm15.BillingError("x", status=402),
        lm15.InvalidRequestError("x", status=400),
        lm15.ContextLengthError("x", status=400),
        lm15.UnsupportedModelError("x", status=404),
        lm15.ProviderError("x", status=418),
        lm15.NotConfiguredError("x"),
        lm15.UnknownModelError("x"),
        ValueError("x"),
    ],
)
def test_what_stays_is_not_worth_a_retry(error: Exception) -> None:
    """The same request would meet the same end."""
    assert not judge(error).retry


def test_the_text_of_an_error_decides_nothing() -> None:
    """A caller's words in a refusal cannot make it look like an outage."""
    verdict = judge(lm15.InvalidRequestError(ALARMING, status=400))
    assert verdict.report is BreakerReport.SUCCESS
    assert not verdict.retry
    assert judge(RuntimeError(ALARMING)).report is BreakerReport.IGNORE


def test_a_provider_s_error_goes_by_its_status() -> None:
    """A 4xx that nobody knows is a refusal; anything else that is no answer is the upstream's failure."""
    assert judge(lm15.ProviderError("x", status=451)).report is BreakerReport.SUCCESS
    assert judge(lm15.ProviderError("x", status=200)).report is BreakerReport.FAILURE
    assert judge(lm15.ProviderError("x", status=599)).report is BreakerReport.FAILURE


@pytest.mark.parametrize(
    ("cause", "outcome", "report"),
    [
        (lm15.TimeoutError("x", status=504), "timeout", BreakerReport.FAILURE),
        (lm15.RateLimitError("x", status=429), "rate_limited", BreakerReport.IGNORE),
    ],
)
def test_a_reply_that_broke_off_counts_as_what_broke_it(
    cause: Exception, outcome: str, report: BreakerReport
) -> None:
    """The breaker and the metric learn what happened; nobody tries again or elsewhere."""
    error = BrokenOffError("broke off")
    error.__cause__ = cause

    assert judge(error) == Verdict(report, outcome, retry=False)
    assert not may_fall_back(error)
    assert may_fall_back(cause)
