"""What a failed LM call means: for the breaker, for a retry, for the metric.

Decided from the error's type and HTTP status, never from its text (table 1.3 of the reliability notes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from dspy import lm15


class BreakerReport(Enum):
    """What the breaker is told."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORE = "ignore"


class BrokenOffError(lm15.ServerError):
    """A reply failed after somebody had read its beginning, so it is not tried again; the cause says how."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``outcome`` is the metric's label value; ``retry`` says whether another attempt can help."""

    report: BreakerReport
    outcome: str
    retry: bool = False


_FAILED = Verdict(BreakerReport.FAILURE, "error", retry=True)
_TIMED_OUT = Verdict(BreakerReport.FAILURE, "timeout", retry=True)
_RATE_LIMITED = Verdict(BreakerReport.IGNORE, "rate_limited", retry=True)
_OURS = Verdict(BreakerReport.IGNORE, "error")
_ALIVE = Verdict(BreakerReport.SUCCESS, "error")

# Specific classes stand before their parents.
_BY_TYPE: tuple[tuple[type[Exception], Verdict], ...] = (
    (lm15.RateLimitError, _RATE_LIMITED),
    (lm15.AuthError, _OURS),
    (lm15.BillingError, _OURS),
    (lm15.InvalidRequestError, _ALIVE),
    (lm15.TimeoutError, _TIMED_OUT),
    (lm15.ServerError, _FAILED),
    (lm15.TransportError, _FAILED),
    (lm15.LockTimeoutError, _FAILED),
    (lm15.StreamAssemblyError, _FAILED),
)

_HTTP_ERROR = 400
_HTTP_SERVER_ERROR = 500


def judge(error: Exception) -> Verdict:
    """The verdict on what an engine raised.

    A provider error without an HTTP error status is a malformed answer, hence the upstream's failure. What is
    no provider's error at all (configuration, a bug) says nothing about the upstream.
    """
    if isinstance(error, BrokenOffError) and isinstance(error.__cause__, lm15.LM15Error):
        return replace(judge(error.__cause__), retry=False)
    for kind, verdict in _BY_TYPE:
        if isinstance(error, kind):
            return verdict
    if isinstance(error, lm15.ProviderError):
        status = error.status or 0
        return _ALIVE if _HTTP_ERROR <= status < _HTTP_SERVER_ERROR else _FAILED
    return _OURS


def may_fall_back(error: Exception) -> bool:
    """Whether another model may do better: not when the request was refused, or the answer has begun."""
    if isinstance(error, BrokenOffError):
        return False
    return not isinstance(error, lm15.InvalidRequestError) or isinstance(error, lm15.UnsupportedModelError)
