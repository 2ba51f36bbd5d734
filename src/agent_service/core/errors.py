"""Every way a query can fail, by stable code.

One root. Each class says whose fault it is and whether the same request may be
sent again. ``detail`` is written for the caller: it never holds internal text,
paths, keys or prompts. The cause travels as ``__cause__`` and stays inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from agent_service.core.messages import Progress


class Fault(Enum):
    """Who can mend it."""

    CALLER = "caller"
    UPSTREAM = "upstream"
    SERVICE = "service"


class ServiceError(Exception):
    """Root of all errors a caller can meet.

    Attributes:
        code: stable name, public in the contract.
        title: short summary of the class, the same for every occurrence.
        fault: who can mend it.
        may_retry: whether the same request can succeed later, unchanged.
        detail: what happened this time, for the caller.
        retry_after_seconds: when to come back, or None when that is not known.
        progress: what had been done when a query failed, set by the runtime; None where no query ran.
        may_blame_program: whether what the program does, or tells the model, may be why.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    fault: ClassVar[Fault]
    may_retry: ClassVar[bool] = False
    may_blame_program: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        self.detail = detail or f"{self.title}."
        self.retry_after_seconds = retry_after_seconds
        self.progress: Progress | None = None
        super().__init__(self.detail)


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong with one field of a request: where it is and what is allowed there."""

    field: str
    problem: str


class InvalidRequestError(ServiceError):
    """The request was understood but a value in it is not allowed."""

    code = "invalid_request"
    title = "The request is not valid"
    fault = Fault.CALLER

    def __init__(self, detail: str | None = None, *, fields: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(detail)
        self.fields = fields


class MalformedRequestError(InvalidRequestError):
    """The request could not be read at all."""

    title = "The request cannot be read"


class UnauthorizedError(ServiceError):
    """No key, or one we do not know; ``presented`` says whether there was one."""

    code = "unauthorized"
    title = "A valid key is needed"
    fault = Fault.CALLER

    def __init__(self, detail: str | None = None, *, presented: bool = False) -> None:
        super().__init__(detail)
        self.presented = presented


class ForbiddenError(ServiceError):
    """The key is known and may not do this; ``scope`` is the one that it would need, if that is why."""

    code = "forbidden"
    title = "This key may not do that"
    fault = Fault.CALLER

    def __init__(self, detail: str | None = None, *, scope: str | None = None) -> None:
        super().__init__(detail)
        self.scope = scope


class NotFoundError(ServiceError):
    """There is nothing at this path, or no longer what the request names."""

    code = "not_found"
    title = "There is nothing here"
    fault = Fault.CALLER


class MethodNotAllowedError(ServiceError):
    """The path exists, the method does not apply to it."""

    code = "method_not_allowed"
    title = "This method is not allowed here"
    fault = Fault.CALLER

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Allowed here: {', '.join(allowed)}.")
        self.allowed = allowed


class PayloadTooLargeError(ServiceError):
    """The body is longer than the limit."""

    code = "payload_too_large"
    title = "The body is too large"
    fault = Fault.CALLER


class UnsupportedMediaTypeError(ServiceError):
    """The body is not JSON, or does not say that it is."""

    code = "unsupported_media_type"
    title = "The body must be JSON"
    fault = Fault.CALLER


class RateLimitedError(ServiceError):
    """The caller sends more than its limit."""

    code = "rate_limited"
    title = "Too many requests"
    fault = Fault.CALLER
    may_retry = True


class ConflictError(ServiceError):
    """Another request with the same identity is in the way."""

    code = "conflict"
    title = "The request conflicts with another"
    fault = Fault.CALLER
    may_retry = True


class PreconditionFailedError(ServiceError):
    """The conversation is not at the turn that the caller says it has seen."""

    code = "precondition_failed"
    title = "The conversation has moved on"
    fault = Fault.CALLER


class ContextTooLongError(ServiceError):
    """Question and conversation do not fit the model's context window."""

    code = "context_too_long"
    title = "The conversation is too long for the model"
    fault = Fault.CALLER
    may_blame_program = True


class BudgetExhaustedError(ServiceError):
    """The query used up what one query may use."""

    code = "budget_exhausted"
    title = "The query's budget is used up"
    fault = Fault.CALLER
    may_blame_program = True


class PoolExhaustedError(ServiceError):
    """All slots are busy and the queue is full, or the wait was too long."""

    code = "pool_exhausted"
    title = "All agents are busy"
    fault = Fault.SERVICE
    may_retry = True


class CircuitBreakerOpenError(ServiceError):
    """The model's upstream is failing; we do not call it for now."""

    code = "circuit_breaker_open"
    title = "The language model is failing and is given a rest"
    fault = Fault.UPSTREAM
    may_retry = True


class ShuttingDownError(ServiceError):
    """This process is on its way out; another will answer."""

    code = "shutting_down"
    title = "The service is shutting down"
    fault = Fault.SERVICE
    may_retry = True


class UpstreamRateLimitedError(ServiceError):
    """The model's provider limits us."""

    code = "upstream_rate_limited"
    title = "The language model's provider is limiting requests"
    fault = Fault.UPSTREAM
    may_retry = True


class UpstreamError(ServiceError):
    """The model failed after retries, or answered what cannot be read."""

    code = "upstream_error"
    title = "The language model failed"
    fault = Fault.UPSTREAM
    may_retry = True


class UnreadableReplyError(UpstreamError):
    """The model answered what the program cannot read: it may have been asked badly."""

    may_blame_program = True


class MemoryUnavailableError(ServiceError):
    """The conversation cannot be read, so no answer is attempted."""

    code = "memory_unavailable"
    title = "The conversation store is not available"
    fault = Fault.SERVICE
    may_retry = True


class IdentityUnavailableError(ServiceError):
    """Who asks cannot be found out: the identity provider's keys are not to be had."""

    code = "identity_unavailable"
    title = "Tokens cannot be checked at present"
    fault = Fault.SERVICE
    may_retry = True


class ReleasesUnavailableError(ServiceError):
    """What is known of releases can be neither read nor changed; queries go on."""

    code = "releases_unavailable"
    title = "The releases cannot be reached"
    fault = Fault.SERVICE
    may_retry = True


class DeadlineExceededError(ServiceError):
    """The query's deadline passed."""

    code = "timeout"
    title = "The query took too long"
    fault = Fault.SERVICE
    may_retry = True
    may_blame_program = True


class CancelledByCallerError(ServiceError):
    """The caller left before the answer; nobody reads this, logs and metrics count it."""

    code = "cancelled"
    title = "The caller left"
    fault = Fault.CALLER


class MisconfiguredError(ServiceError):
    """Our key, billing or model name is refused by the provider."""

    code = "misconfigured"
    title = "The service is not configured correctly"
    fault = Fault.SERVICE


class InternalError(ServiceError):
    """A bug, ours or the served program's."""

    code = "internal_error"
    title = "Something went wrong inside the service"
    fault = Fault.SERVICE
    may_blame_program = True
