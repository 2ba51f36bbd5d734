"""The settings decide where releases are kept, and the program which states it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import dspy
import pytest

from agent_service.bootstrap.program import made_programs, program_makers
from agent_service.bootstrap.shelf import OpenShelf, open_shelf, state_check
from agent_service.config import Settings
from agent_service.core.observer import Observers
from agent_service.releases.base import ReleaseError, Shelf
from agent_service.testing import FakeClock
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable


def _settings(**environ: str) -> Settings:
    return Settings.load(environ, dotenv_path=Path("/nowhere/.env"))


def _opened(**environ: str) -> OpenShelf:
    opened = open_shelf(_settings(**environ), clock=FakeClock(wall=7.0))
    assert opened is not None
    return opened


async def _added(shelf: Shelf) -> tuple[str, ...]:
    await shelf.add("triage", b"{}")
    return tuple(release.note for release in await shelf.releases("triage"))


def test_without_the_setting_no_releases_are_kept() -> None:
    """A Redis for the conversations is not asked for releases by itself."""
    assert open_shelf(_settings(REDIS_URL="redis://127.0.0.1:1"), clock=FakeClock()) is None


async def test_a_path_is_a_folder(tmp_path: Path) -> None:
    """It is made when the first release is added; one that is called redis is named with its path."""
    opened = _opened(AGENT_RELEASES_PATH=f"{tmp_path}/here/redis", REDIS_URL="redis://127.0.0.1:1")
    assert not (tmp_path / "here").exists()

    assert await _added(opened.shelf) == ("",)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["redis"]
    await opened.close()


async def test_the_word_redis_is_the_redis_of_the_conversations(tmp_path: Path) -> None:
    """What is added through one process's connection is there through another's, which it closes."""
    server = RedisServer(tmp_path)
    try:
        first, second = (
            _opened(AGENT_RELEASES_PATH="redis", REDIS_URL=f"redis://127.0.0.1:{server.port}")
            for _ in range(2)
        )
        await _added(first.shelf)
        assert len(await second.shelf.releases("triage")) == 1

        await first.close()
        await second.close()
        assert len(server.command("CLIENT", "LIST").splitlines()) == 1
    finally:
        server.kill()


@pytest.fixture
def check() -> Callable[[str, bytes], None]:
    """By a service with the built-in agent."""
    settings = _settings(AGENT_RELEASES_PATH="shelf")
    makers = program_makers(
        settings, clock=FakeClock(), observer=Observers(), own=dspy.Predict("ticket -> team")
    )
    made_programs(makers, settings)
    return state_check(makers)


def test_a_state_of_the_program_passes(check: Callable[[str, bytes], None], tmp_path: Path) -> None:
    """As ``program.save`` writes it; again, as nothing of it is kept in the program."""
    saved = dspy.Predict("ticket -> team")
    saved.demos = [dspy.Example(ticket="The invoice is wrong.", team="billing")]
    saved.save(str(tmp_path / "state.json"))
    state = (tmp_path / "state.json").read_bytes()

    check("default", state)
    check("default", state)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature": {"instructions": "Sort.", "fields": []}}, "other fields"),
        ({"callbacks": ["os.system"]}, "callbacks, which is not loaded"),
        ({"metadata": None}, "no metadata"),
    ],
)
def test_another_state_is_refused_with_the_reason(
    check: Callable[[str, bytes], None], tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    """In words for the operator."""
    dspy.Predict("ticket -> team").save(str(tmp_path / "state.json"))
    state = json.loads((tmp_path / "state.json").read_bytes())

    with pytest.raises(ReleaseError, match=reason):
        check("default", json.dumps({**state, **change}).encode())
