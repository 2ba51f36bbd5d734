"""Releases are kept where there is a place for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_service.config import Settings, SettingsError

NOWHERE = Path("/nowhere/.env")


def test_releases_in_redis_need_a_redis() -> None:
    """What the service could not start with is told with the other wrong settings."""
    with pytest.raises(SettingsError) as caught:
        Settings.load({"AGENT_RELEASES_PATH": "redis"}, dotenv_path=NOWHERE)

    assert [str(at) for at in caught.value.problems] == [
        "REDIS_URL: must be set when AGENT_RELEASES_PATH is redis"
    ]


@pytest.mark.parametrize("path", ["redis", "./redis", "/var/releases"])
def test_a_place_is_kept_as_it_is_written(path: str) -> None:
    """A folder that is called redis can be told from the word."""
    environ = {"AGENT_RELEASES_PATH": path, "REDIS_URL": "redis://host"}
    assert Settings.load(environ, dotenv_path=NOWHERE).agent_releases_path == path


def test_no_releases_are_kept_unless_asked_for() -> None:
    """A folder that nobody named is not written to."""
    assert Settings.load({}, dotenv_path=NOWHERE).agent_releases_path is None
