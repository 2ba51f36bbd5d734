"""Bearers of an identity provider's tokens: JSON Web Tokens (RFC 7519), checked as RFC 8725 advises."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import jwt

from agent_service.core.caller import ALL_SCOPES, Caller
from agent_service.core.errors import UnauthorizedError

if TYPE_CHECKING:
    from agent_service.access.base import SigningKeySource
    from agent_service.core.clock import Clock

SCOPE_PREFIX = "agent:"
"""Before a scope's name in a token: ``agent:query``, so that no other service's scope means anything here."""

LEEWAY_SECONDS = 10.0
"""By how much the provider's clock may differ from ours."""

MAX_TOKEN_CHARS = 16_384
_MAX_REMEMBERED = 4096
_LAST_SECONDS = 1e12
"""Far beyond any date, and neither infinite nor too large for a float."""
_MAX_USER_CHARS = 128


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """Which tokens are accepted, and what they say.

    Attributes:
        issuer: who must have made them (``iss``).
        audience: for whom they must be made (``aud``).
        algorithms: how they may be signed; with public keys only.
        user_claim: the claim with the only user_id that the bearer may ask for.
        scope_claim: the claim with what the bearer may do: names separated by spaces, or a list of names.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    user_claim: str = "sub"
    scope_claim: str = "scope"


class _Known(NamedTuple):
    caller: Caller
    expires_at_epoch_seconds: float
    generation: int


class Tokens:
    """Knows the bearers of tokens; see ``Identifying``. One that was checked is remembered until it expires.

    Args:
        keys: the provider's.
        options: which tokens are accepted.
        clock: says which have expired.
    """

    def __init__(self, *, keys: SigningKeySource, options: TokenOptions, clock: Clock) -> None:
        self._keys = keys
        self._options = options
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Tokens of {self._options.issuer}>"

    async def identify(self, credential: str) -> Caller:
        """The bearer of the token.

        Raises:
            UnauthorizedError: it is no token of the provider for this service, or not valid at present.
            IdentityUnavailableError: the provider's keys are not to be had.
        """
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.generation != self._keys.generation:
            known = await self._checked(credential)
            self._remember(digest, known)
        if known.expires_at_epoch_seconds + LEEWAY_SECONDS <= self._clock.wall():
            self._known.pop(digest, None)
            _refuse("The token has expired.")
        return known.caller

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        if len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)

    async def _checked(self, token: str) -> _Known:
        generation, claims = await self._claims(token)
        not_before = _seconds(claims, "nbf", otherwise=0.0)
        if not_before - LEEWAY_SECONDS > self._clock.wall():
            _refuse("The token is not valid yet.")
        user_id = claims.get(self._options.user_claim)
        if not isinstance(user_id, str) or not _may_be_a_user(user_id):
            _refuse("The token names no user that can be one here.")
        caller = Caller(f"jwt:{user_id}", self._scopes(claims), user_id)
        return _Known(caller, _seconds(claims, "exp", otherwise=0.0), generation)

    async def _claims(self, token: str) -> tuple[int, dict[str, Any]]:
        """What a token of the provider for this service says, whatever the time, and the keys' generation."""
        try:
            header = jwt.get_unverified_header(token) if len(token) <= MAX_TOKEN_CHARS else {}
            algorithm = header.get("alg")
            if algorithm not in self._options.algorithms:
                _refuse("The token is not signed as this service asks for.")
            key = await self._keys.find(header.get("kid"), algorithm)
            if key is None:
                _refuse("The token's key is not known.")
            return self._keys.generation, self._decoded(token, key, algorithm)
        except (jwt.PyJWTError, RecursionError) as error:
            raise UnauthorizedError(_reason(error), presented=True) from error

    def _decoded(self, token: str, key: jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._options.audience,
            issuer=self._options.issuer,
            options={
                "require": ["exp", "iss", "aud"],
                "verify_exp": False,  # the service's clock decides
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,
                "enforce_minimum_key_length": True,
            },
        )

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Any]:
        told = claims.get(self._options.scope_claim, "")
        names = told.split() if isinstance(told, str) else told if isinstance(told, list) else ()
        return frozenset(scope for scope in ALL_SCOPES if f"{SCOPE_PREFIX}{scope}" in names)


def _may_be_a_user(name: str) -> bool:
    return 0 < len(name) <= _MAX_USER_CHARS and name.isprintable() and bool(name.strip())


def _seconds(claims: dict[str, Any], name: str, *, otherwise: float) -> float:
    """A NumericDate (RFC 7519, section 2)."""
    value = claims.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LAST_SECONDS:
        _refuse(f"The token's {name} is no time.")
    return float(value)


def _reason(error: Exception) -> str:
    """What a caller may know; of a wrong signature nothing more."""
    match error:
        case jwt.InvalidIssuerError():
            return "The token is of another issuer."
        case jwt.InvalidAudienceError():
            return "The token is for another audience."
        case jwt.MissingRequiredClaimError():
            return f"The token has no {error.claim}."
        case _:
            return "The token is not valid."


def _refuse(detail: str) -> NoReturn:
    raise UnauthorizedError(detail, presented=True)
