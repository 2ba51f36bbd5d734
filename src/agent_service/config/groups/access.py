"""Who may ask, with keys or tokens of an identity provider, and how much."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic evaluates the annotations
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from agent_service.access.limits.rate import parse_rates
from agent_service.config.sources import SettingProblem, wrong
from agent_service.config.values import Word, setting

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""All with public keys: whoever could check a token of another kind could make one too."""


def _names(value: object) -> object:
    return [item.strip() for item in value.split(",")] if isinstance(value, str) else value


def _rates(text: str) -> str:
    parse_rates(text)
    return text


_RateLimit = Annotated[str, AfterValidator(_rates)]
Algorithms = Annotated[tuple[Algorithm, ...], BeforeValidator(_names)]
_JwksUrl = Annotated[
    str, Field(pattern=r"^(https://[^\s/@]+|http://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?)(/\S*)?$")
]


class AccessSettings(BaseModel):
    """Who may ask, with keys or tokens of an identity provider, and how much."""

    api_keys_file: Path | None = setting(
        "the file of `agent-service keys`: callers need a key; read again when it changes", allowed="a path"
    )
    jwt_jwks_url: _JwksUrl | None = setting(
        "where an identity provider publishes its keys: callers may come with its tokens",
        allowed="an https:// URL, or http:// to loopback; needs `JWT_ISSUER` and `JWT_AUDIENCE`",
    )
    jwt_jwks_file: Path | None = setting(
        "the same from a file; read again when it changes", allowed="a path; not with `JWT_JWKS_URL`"
    )
    jwt_issuer: Word | None = setting("who must have made a token (`iss`)", allowed="text without spaces")
    jwt_audience: Word | None = setting(
        "for whom a token must be made (`aud`)", allowed="text without spaces"
    )
    jwt_algorithms: Algorithms = setting(
        "how a token may be signed",
        ("RS256", "ES256"),
        allowed="of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `ES512`, "
        "`EdDSA`, comma-separated",
        shown="RS256,ES256",
    )
    jwt_user_claim: Word = setting(
        "the claim with the only user_id that a token's bearer may ask for", "sub", allowed="a claim's name"
    )
    jwt_scope_claim: Word = setting(
        "the claim with what its bearer may do: `agent:query`, `agent:metrics`, `agent:admin`",
        "scope",
        allowed="a claim's name",
    )
    rate_limit: _RateLimit | None = setting(
        "queries that a key may send, or a `user_id` where no key is asked for; a key's own limit wins",
        allowed="such as `60/minute` or `10/second;600/hour`: per `second`, `minute`, `hour`, `day`",
    )
    rate_limit_per_user: _RateLimit | None = setting(
        "queries for one `user_id`, whatever the key",
        allowed="such as `5/second` or `10/second;600/hour`: per `second`, `minute`, `hour`, `day`",
    )
    tokens_per_day: int | None = setting(
        "tokens of language models that a key may use in a day (UTC), or a `user_id` where no key is asked "
        "for; a key's own budget wins",
        low=1,
        high=1_000_000_000_000,
    )


def access_contradictions(settings: AccessSettings) -> list[SettingProblem]:
    """What is missing beside a key set, or what a token setting stands without."""
    url, file = settings.jwt_jwks_url, settings.jwt_jwks_file
    if url and file:
        return [wrong("JWT_JWKS_FILE", str(file), "must not be set when JWT_JWKS_URL is")]
    needed = {"JWT_ISSUER": settings.jwt_issuer, "JWT_AUDIENCE": settings.jwt_audience}
    if url or file:
        named = "JWT_JWKS_URL" if url else "JWT_JWKS_FILE"
        return [
            wrong(name, "", f"must be set when {named} is") for name, value in needed.items() if not value
        ]
    return [
        wrong(name, value, "has no effect without JWT_JWKS_URL or JWT_JWKS_FILE")
        for name, value in needed.items()
        if value
    ]
