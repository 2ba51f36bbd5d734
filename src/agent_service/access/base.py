"""What the edges ask of this room: who a caller is, and whether that caller may go on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jwt

    from agent_service.core.caller import Caller

Use = Literal["query", "conversation"]
"""What a caller wants of a user: a query, which uses models, or to read or erase what is kept."""

ANSWER_HEADERS: ContextVar[Mapping[str, str]] = ContextVar("answer_headers", default={})  # noqa: B039 - never changed
"""Headers of the answer to the current request, whatever it becomes: replaced by who has something to tell.

Set it in the task that serves the request, before an error is raised; never change the mapping in place.
"""


class Identifying(Protocol):
    """Knows callers by what they present."""

    async def identify(self, credential: str) -> Caller:
        """Who presents ``credential``, a key or a token.

        Raises:
            UnauthorizedError: nobody we know, or no longer.
            IdentityUnavailableError: it cannot be found out at present.
        """


class SigningKeySource(Protocol):
    """Where signing keys come from. ``generation`` grows whenever they may have changed."""

    generation: int

    async def find(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """See ``SigningKeys``.

        Raises:
            IdentityUnavailableError: the keys are not to be had at present.
        """


class Limits(Protocol):
    """How much a caller may ask for."""

    async def admit(self, caller: Caller, user_id: str, use: Use) -> None:
        """Count one request of ``caller`` for ``user_id``, whom it may ask for, before its work begins.

        What the answer is to say of the limits goes into ``ANSWER_HEADERS``, before an error is raised too.

        Raises:
            RateLimitedError: it is one too many; with ``retry_after_seconds``.
        """


class NoLimits:
    """Everybody may ask for as much as they like."""

    async def admit(self, caller: Caller, user_id: str, use: Use) -> None:
        """Let everybody in."""


NO_LIMITS = NoLimits()
