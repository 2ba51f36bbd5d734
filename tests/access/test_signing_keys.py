"""A key set as far as it can sign tokens."""

from __future__ import annotations

from typing import Any

import pytest

from agent_service.access.signing_keys import FileKeys, SigningKeys
from agent_service.access.watched_file import UnreadableError
from tests.identity_provider import ec_key, jwk_of, key_set, rsa_key

BOTH = ("RS256", "ES256")
RSA, EC = jwk_of(rsa_key(), kid="r1"), jwk_of(ec_key(), kid="e1")


def test_a_key_is_found_by_its_name_for_its_algorithm() -> None:
    """The algorithm of a token never makes a key into something else."""
    keys = SigningKeys.parse(key_set(RSA, EC), BOTH)

    assert keys.find("r1", "RS256")
    assert keys.find("e1", "ES256")
    assert keys.find("r1", "ES256") is None
    assert keys.find("e1", "RS256") is None
    assert keys.find("other", "RS256") is None


def test_without_a_name_there_must_be_one_key_for_the_algorithm() -> None:
    """Trying all of them would let a forger try them, too."""
    second = jwk_of(ec_key("second"), kid="e2")

    assert SigningKeys.parse(key_set(RSA, EC), BOTH).find(None, "ES256")
    assert SigningKeys.parse(key_set(RSA, EC, second), BOTH).find(None, "ES256") is None


def test_algorithms_that_were_not_asked_for_have_no_keys() -> None:
    """What is pinned is pinned, whatever is published."""
    assert SigningKeys.parse(key_set(RSA, EC), ("ES256",)).find("r1", "RS256") is None


@pytest.mark.parametrize(
    "member",
    [
        EC | {"use": "enc"},
        EC | {"alg": "ES384"},
        EC | {"crv": "P-384"},
        EC | {"x": "AA"},
        EC | {"d": "AA"},
        RSA | {"alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "e1"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "e1"},
        {},
    ],
)
def test_a_key_that_is_not_for_signing_tokens_is_passed_over(member: dict[str, Any]) -> None:
    """Secret, private, for something else, or broken: beside it the good one is found."""
    good = jwk_of(ec_key("good"), kid="good")
    keys = SigningKeys.parse(key_set(member, good), BOTH)

    assert keys.find("good", "ES256")
    assert repr(keys) == "<SigningKeys 1>"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": ["x"]}', b'{"keys": []}', b"[" * 100_000, b"\xff"],
)
def test_what_is_no_key_set_is_an_error(content: bytes) -> None:
    """Also one without any key that is good for a token: it would lock everybody out."""
    with pytest.raises(UnreadableError):
        SigningKeys.parse(content, BOTH)


async def test_the_keys_of_a_file_are_those_it_holds_now() -> None:
    """With each change the generation grows, so that nothing of the old ones is remembered."""
    keys = FileKeys()
    assert await keys.find("e1", "ES256") is None

    keys.replace(SigningKeys.parse(key_set(EC), BOTH))

    assert await keys.find("e1", "ES256")
    assert keys.generation == 1
