"""Settings about access that would open a door by mistake are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_service.access.tokens import TokenOptions
from agent_service.config import Settings, SettingsError
from agent_service.config.options import token_options

JWKS = {"JWT_JWKS_URL": "https://issuer.example/keys", "JWT_ISSUER": "i", "JWT_AUDIENCE": "a"}


def _load(**environ: str) -> Settings:
    return Settings.load(environ, dotenv_path=Path("/nowhere/.env"))


def _wrong(**environ: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as raised:
        _load(**environ)
    return {problem.name: problem.allowed for problem in raised.value.problems}


def test_without_a_key_set_there_are_no_tokens() -> None:
    """Nobody is asked for one."""
    assert token_options(_load()) is None


def test_tokens_are_as_the_settings_say() -> None:
    """Each setting is an option."""
    given = {"JWT_ALGORITHMS": "EdDSA, PS256", "JWT_USER_CLAIM": "email", "JWT_SCOPE_CLAIM": "permissions"}

    assert token_options(_load(**JWKS)) == TokenOptions("i", "a")
    assert token_options(_load(**JWKS, **given)) == TokenOptions(
        "i", "a", ("EdDSA", "PS256"), "email", "permissions"
    )


@pytest.mark.parametrize("algorithms", ["none", "HS256", "RS256,HS256", "RS256,", "rs256"])
def test_only_algorithms_with_public_keys_can_be_asked_for(algorithms: str) -> None:
    """With the others whoever can check a token can make one."""
    assert list(_wrong(**JWKS, JWT_ALGORITHMS=algorithms)) == ["JWT_ALGORITHMS"]


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://127.0.0.1:80@issuer.example/",
        "http://127.0.0.1.issuer.example/",
        "http://localhost.issuer.example",
        "https://user:password@issuer.example",
        "ftp://issuer.example",
        "issuer.example",
    ],
)
def test_key_sets_come_over_tls_or_from_this_machine(url: str) -> None:
    """Whoever could change one on its way could sign any token."""
    assert list(_wrong(**JWKS | {"JWT_JWKS_URL": url})) == ["JWT_JWKS_URL"]


@pytest.mark.parametrize(
    "url", ["http://localhost/keys", "http://127.0.0.1:9/x", "http://[::1]", "https://a"]
)
def test_this_machine_needs_no_tls(url: str) -> None:
    """For trying out, and for sidecars."""
    assert _load(**JWKS | {"JWT_JWKS_URL": url}).jwt_jwks_url == url


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE"])
def test_issuer_and_audience_go_with_a_key_set(name: str) -> None:
    """Without them every token of the provider would be good; alone they have no effect."""
    incomplete = {other: value for other, value in JWKS.items() if other != name}

    assert _wrong(**incomplete) == {name: "must be set when JWT_JWKS_URL is"}
    assert list(_wrong(**{name: JWKS[name]})) == [name]


def test_there_is_one_key_set() -> None:
    """Two would be one too many to know which is in force."""
    assert list(_wrong(**JWKS, JWT_JWKS_FILE="jwks.json")) == ["JWT_JWKS_FILE"]
