"""What a program raised, as an error of the service. The only place where DSPy's errors are read."""

from __future__ import annotations

import dspy
from dspy.utils import exceptions as dspy_errors

from agent_service.core.errors import (
    ContextTooLongError,
    InternalError,
    MisconfiguredError,
    ServiceError,
    UnreadableReplyError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from agent_service.core.run import RunStoppedError
from agent_service.programs.lm.seam import RefusedError

# Specific classes stand before their parents.
_BY_TYPE: tuple[tuple[type[Exception], type[ServiceError]], ...] = (
    (dspy_errors.ContextWindowExceededError, ContextTooLongError),
    (dspy_errors.LMRateLimitError, UpstreamRateLimitedError),
    (dspy_errors.LMAuthError, MisconfiguredError),
    (dspy_errors.LMBillingError, MisconfiguredError),
    (dspy_errors.LMConfigurationError, MisconfiguredError),
    (dspy_errors.LMUnsupportedModelError, MisconfiguredError),
    (dspy_errors.LMUnsupportedFeatureError, MisconfiguredError),
    (dspy_errors.LMStreamAssemblyError, UpstreamError),
    (dspy_errors.LMUnexpectedError, InternalError),
    (dspy.LMError, UpstreamError),
    (dspy_errors.AdapterParseError, UnreadableReplyError),
)
_UPSTREAM_FAILED = "The language model failed or answered what the program cannot read."
_DETAILS: dict[type[ServiceError], str] = {
    UpstreamError: _UPSTREAM_FAILED,
    UnreadableReplyError: _UPSTREAM_FAILED,
    MisconfiguredError: "The language model's provider refused the service's key, account or model name.",
    UpstreamRateLimitedError: "The language model's provider is limiting requests; try again later.",
    ContextTooLongError: "Question and conversation together are too long for the language model.",
    InternalError: "The program failed on this question.",
}


def translate(error: BaseException) -> ServiceError:
    """The error the caller is told of; the original belongs in its ``__cause__``.

    A program may wrap what the seam raised in an error of its own, so causes are looked at too.
    """
    for link in _chain(error):
        if isinstance(link, ServiceError):
            return link
        if isinstance(link, RefusedError):
            return link.error
        if isinstance(link, RunStoppedError):
            return link.error()
        for kind, meaning in _BY_TYPE:
            if isinstance(link, kind):
                retry_after_seconds = getattr(link, "retry_after", None)
                return meaning(_DETAILS[meaning], retry_after_seconds=retry_after_seconds)
    return InternalError(_DETAILS[InternalError])


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, outermost first."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links
