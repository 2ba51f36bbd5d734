"""The settings decide who knows the callers, and whether anybody is asked at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_service.access.key import digest_of, new_secret
from agent_service.access.key_file import add_key
from agent_service.access.watched_file import UnreadableError
from agent_service.bootstrap.access import Access, build_access
from agent_service.config import Settings
from agent_service.core.errors import UnauthorizedError
from agent_service.testing import FakeClock, RecordingObserver
from tests.access.test_key import a_key
from tests.identity_provider import AUDIENCE, ISSUER, ec_key, jwk_of, key_set, token

if TYPE_CHECKING:
    from collections.abc import Callable

JWT = {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}


def _access(**environ: str) -> Access:
    settings = Settings.load(environ, dotenv_path=Path("/nowhere/.env"))
    clock = FakeClock()
    return build_access(settings, clock=clock, observer=RecordingObserver())


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, str]:
    """A file with one key, and the key."""
    key_id, secret = new_secret()
    add_key(tmp_path / "keys.json", a_key(id=key_id, sha256=digest_of(secret).hex()))
    return str(tmp_path / "keys.json"), secret


@pytest.fixture
def jwks(tmp_path: Path) -> str:
    """A file with a provider's keys."""
    (tmp_path / "jwks.json").write_bytes(key_set(jwk_of(ec_key(), kid="e1")))
    return str(tmp_path / "jwks.json")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com"])  # noqa: S104 - nothing is bound
def test_without_keys_it_warns_where_others_may_reach_it(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once, with what to do; nobody is asked for a key."""
    assert _access(SERVER_HOST=host) == Access()

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "API_KEYS_FILE=keys.json" in record.getMessage()
    assert "SERVER_HOST=127.0.0.1" in record.getMessage()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_loopback_it_does_not_warn(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is on the machine is somebody."""
    _access(SERVER_HOST=host)

    assert caplog.records == []


async def test_keys_alone(key: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """The file is read at once, and looked at while the service runs."""
    access = _access(API_KEYS_FILE=key[0])

    assert access.identifying is not None
    assert (await access.identifying.identify(key[1])).scopes == {"query"}
    assert len(access.background) == 1
    assert caplog.records == []


async def test_tokens_alone(jwks: str) -> None:
    """Keys of ours are nothing then."""
    access = _access(JWT_JWKS_FILE=jwks, **JWT)

    assert access.identifying is not None
    told = token(at_epoch_seconds=FakeClock().wall())
    assert (await access.identifying.identify(told)).user_id == "ada"
    with pytest.raises(UnauthorizedError):
        await access.identifying.identify(new_secret()[1])


async def test_both_ways_at_once(key: tuple[str, str], jwks: str) -> None:
    """Machines with keys beside people with tokens."""
    access = _access(API_KEYS_FILE=key[0], JWT_JWKS_FILE=jwks, **JWT)

    assert access.identifying is not None
    assert (await access.identifying.identify(key[1])).user_id is None
    assert (await access.identifying.identify(token(at_epoch_seconds=FakeClock().wall()))).user_id == "ada"
    assert len(access.background) == 2


async def test_published_keys_are_fetched_only_when_the_service_runs() -> None:
    """A provider that is away does not stop the start."""
    access = _access(JWT_JWKS_URL="https://issuer.example/keys", **JWT)

    assert access.identifying is not None
    assert len(access.background) == 1


@pytest.mark.parametrize(
    "environ",
    [
        lambda path: {"API_KEYS_FILE": path},
        lambda path: {"JWT_JWKS_FILE": path, **JWT},
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, environ: Callable[[str], dict[str, str]]) -> None:
    """To start without keys would open the service, or close it for all."""
    path = tmp_path / "file"
    with pytest.raises(UnreadableError, match="No such file"):
        _access(**environ(str(path)))
    path.write_text("{}")
    with pytest.raises(UnreadableError, match=str(path)):
        _access(**environ(str(path)))
