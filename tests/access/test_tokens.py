"""Tokens are accepted when provider, audience, time, key and algorithm are right, and only then."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent_service.access.signing_keys import FileKeys, SigningKeys
from agent_service.access.tokens import LEEWAY_SECONDS, MAX_TOKEN_CHARS, TokenOptions, Tokens
from agent_service.core.caller import Caller
from agent_service.core.errors import UnauthorizedError
from agent_service.testing import FakeClock
from tests.identity_provider import AUDIENCE, ISSUER, claims, ec_key, jwk_of, key_set, rsa_key, token

BOTH = ("RS256", "ES256")


class Door:
    """Tokens with an EC key ``e1`` and an RSA key ``r1``, at a time of its own."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.keys = FileKeys()
        self.publish(jwk_of(ec_key(), kid="e1"), jwk_of(rsa_key(), kid="r1"))
        self.tokens = Tokens(
            keys=self.keys, options=TokenOptions(ISSUER, AUDIENCE, **options), clock=self.clock
        )

    def publish(self, *members: dict[str, Any]) -> None:
        self.keys.replace(SigningKeys.parse(key_set(*members), BOTH))

    def token(self, key: Any = None, **told: Any) -> str:
        return token(key, at_epoch_seconds=self.clock.wall(), **told)

    async def refusal(self, presented: str) -> str:
        with pytest.raises(UnauthorizedError) as caught:
            await self.tokens.identify(presented)
        assert caught.value.presented
        return caught.value.detail


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_good_token_names_its_bearer() -> None:
    """The bearer may ask for that one user, with the scopes that are meant for this service."""
    door = Door()
    told = door.token(scope="openid agent:query agent:metrics query agent:other")

    caller = await door.tokens.identify(told)

    assert caller == Caller("jwt:ada", frozenset({"query", "metrics"}), "ada")


async def test_both_kinds_of_keys_are_good() -> None:
    """RSA, as most providers have it, too."""
    door = Door()

    told = door.token(rsa_key(), algorithm="RS256", kid="r1")
    assert (await door.tokens.identify(told)).user_id == "ada"


async def test_the_claims_are_those_of_the_options() -> None:
    """Providers name users and scopes differently; scopes may be a list."""
    door = Door(user_claim="email", scope_claim="permissions")
    told = door.token(sub=7, email="ada@example.com", permissions=["agent:admin"])

    caller = await door.tokens.identify(told)

    assert caller == Caller("jwt:ada@example.com", frozenset({"admin"}), "ada@example.com")


@pytest.mark.parametrize("scope", [None, "", "query", 7, {"agent:query": True}])
async def test_a_token_without_scopes_of_ours_may_do_nothing(scope: Any) -> None:
    """Its bearer is known, and that is all."""
    door = Door()

    assert (await door.tokens.identify(door.token(scope=scope))).scopes == frozenset()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": None}, "no iss"),
        ({"aud": "other"}, "another audience"),
        ({"aud": ["other"]}, "another audience"),
        ({"aud": None}, "no aud"),
        ({"exp": None}, "no exp"),
        ({"exp": "soon"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": float("inf")}, "exp is no time"),
        ({"exp": float("nan")}, "exp is no time"),
        ({"exp": 10**400}, "exp is no time"),
        ({"nbf": "now"}, "nbf is no time"),
        ({"sub": None}, "names no user"),
        ({"sub": 7}, "names no user"),
        ({"sub": ""}, "names no user"),
        ({"sub": "a" * 129}, "names no user"),
        ({"sub": "a\nb"}, "names no user"),
    ],
)
async def test_a_token_that_says_something_else_is_refused(told: dict[str, Any], reason: str) -> None:
    """Each claim counts, and its bearer learns which it is."""
    door = Door()

    assert reason in await door.refusal(door.token(**told))


async def test_a_token_for_several_audiences_is_good_when_this_is_one() -> None:
    """As RFC 7519 has it."""
    door = Door()

    assert (await door.tokens.identify(door.token(aud=["other", AUDIENCE]))).user_id == "ada"


async def test_a_token_is_good_for_its_time_and_the_leeway() -> None:
    """Also one that was checked before."""
    door = Door()
    at = door.clock.wall()
    told = door.token(exp=at + 60, nbf=at + LEEWAY_SECONDS)
    assert "not valid yet" in await door.refusal(door.token(nbf=at + LEEWAY_SECONDS + 1))

    await door.tokens.identify(told)
    door.clock.advance(60 + LEEWAY_SECONDS - 1)
    await door.tokens.identify(told)
    door.clock.advance(1)

    assert "expired" in await door.refusal(told)
    assert "expired" in await door.refusal(told)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512", "ES384", "", None, 7])
async def test_only_the_pinned_algorithms_are_good(algorithm: Any) -> None:
    """What a token says of its own algorithm is a wish."""
    door = Door()
    header, body = {"alg": algorithm, "typ": "JWT", "kid": "e1"}, claims(door.clock.wall())
    public = ec_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_part(header)}.{_part(body)}"
    signature = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    written = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()

    for presented in (f"{signed}.{written}", f"{signed}."):
        assert await door.refusal(presented)


async def test_a_key_is_good_for_its_own_algorithm_only() -> None:
    """An EC token under an RSA key's name is not checked with that key, nor with any other."""
    door = Door()

    assert "key is not known" in await door.refusal(door.token(ec_key(), kid="r1"))
    assert "key is not known" in await door.refusal(door.token(rsa_key(), algorithm="RS256", kid="e1"))


async def test_a_token_by_another_key_is_refused() -> None:
    """Under a known name, under its own, and when it brings its own key along."""
    door, other = Door(), ec.generate_private_key(ec.SECP256R1())
    brought = jwt.encode(
        claims(door.clock.wall()), other, algorithm="ES256", headers={"kid": "e1", "jwk": jwk_of(other)}
    )

    assert await door.refusal(door.token(other)) == "The token is not valid."
    assert "key is not known" in await door.refusal(door.token(other, kid="mine"))
    assert await door.refusal(brought) == "The token is not valid."


async def test_a_token_without_a_name_is_checked_with_the_only_key_there_is() -> None:
    """A provider with one key need not name it."""
    door = Door()
    assert (await door.tokens.identify(door.token(kid=None))).user_id == "ada"

    door.publish(jwk_of(ec_key(), kid="e1"), jwk_of(ec_key("second"), kid="e2"))

    assert "key is not known" in await door.refusal(door.token(kid=None))


async def test_a_short_key_is_no_key() -> None:
    """RFC 8725, 3.2: an RSA key of 1024 bits can be broken."""
    door = Door()
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is what is refused
    door.publish(jwk_of(short, kid="short"))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        told = door.token(short, algorithm="RS256", kid="short")

    assert await door.refusal(told) == "The token is not valid."


async def test_what_is_no_token_is_refused() -> None:
    """Whatever somebody sends; what is not understood but critical, too (RFC 7515, 4.1.11)."""
    door = Door()
    critical = jwt.encode(
        claims(door.clock.wall()), ec_key(), algorithm="ES256", headers={"kid": "e1", "crit": ["exp"]}
    )
    body = _part(claims(door.clock.wall()))

    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 10_000).decode()
    assert await door.refusal(f"{deep}.{body}.")
    for presented in ("", "x", "a.b.c", "..", f"{_part([])}.{body}.", "\u00e9.\u00e9.\u00e9", critical):
        assert await door.refusal(presented)
    assert await door.refusal(door.token(more="x" * MAX_TOKEN_CHARS))


async def test_a_token_that_was_checked_is_forgotten_with_its_key() -> None:
    """A key that the provider withdraws takes its tokens along."""
    door = Door()
    told = door.token()
    await door.tokens.identify(told)

    door.publish(jwk_of(ec_key("second"), kid="e2"))

    assert "key is not known" in await door.refusal(told)


async def test_a_token_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature costs more than the rest of a request's way to its handler."""
    door = Door()
    told = door.token()
    first = await door.tokens.identify(told)
    monkeypatch.setattr(jwt, "decode", None)

    assert await door.tokens.identify(told) is first
