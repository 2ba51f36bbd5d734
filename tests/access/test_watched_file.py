"""A file is read again when it changes, and a wrong one changes nothing."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_service.access.watched_file import LOOK_SECONDS, UnreadableError, WatchedFile
from agent_service.core.observer import CredentialsRead
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _parse(content: bytes) -> str:
    if content.startswith(b"wrong"):
        raise UnreadableError("is wrong")
    return content.decode()


class Watch:
    """A watched file with what was used of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used: list[str] = []
        self.observer = RecordingObserver()
        self.clock = FakeClock()
        self.file = self.watching(use=self.used.append)

    def watching(self, use: Callable[[str], None]) -> WatchedFile[str]:
        """The file as nobody has read it."""
        return WatchedFile(
            self.path, source="keys", parse=_parse, use=use, observer=self.observer, clock=self.clock
        )

    def put(self, content: str) -> None:
        """Replace the file, as every tool that is careful does."""
        new = self.path.with_suffix(".new")
        new.write_text(content)
        new.replace(self.path)

    def told(self) -> list[str]:
        return [event.outcome for event in self.observer.of(CredentialsRead)]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """A file that holds ``one`` and was loaded."""
    watch = Watch(tmp_path / "file")
    watch.put("one")
    watch.file.load()
    return watch


async def test_it_is_read_again_only_when_it_changed(watch: Watch) -> None:
    """Looking costs a stat."""
    await watch.file.look()
    assert watch.used == ["one"]

    watch.put("two")
    await watch.file.look()
    await watch.file.look()

    assert watch.used == ["one", "two"]
    assert watch.told() == ["success"]


async def test_a_change_in_place_is_seen_too(watch: Watch) -> None:
    """Not every editor replaces the file."""
    watch.path.write_text("two")
    os.utime(watch.path, ns=(1, 1))

    await watch.file.look()

    assert watch.used == ["one", "two"]


@pytest.mark.parametrize("harm", ["wrong", "gone"])
async def test_what_is_wrong_is_told_once_and_changes_nothing(
    watch: Watch, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says it once for each change, the metric for as long as it is so."""
    watch.path.unlink() if harm == "gone" else watch.put("wrong")
    await watch.file.look()
    await watch.file.look()
    assert watch.used == ["one"]
    assert watch.told() == ["error"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(watch.path) in caplog.text

    watch.put("two")
    await watch.file.look()

    assert watch.used == ["one", "two"]
    assert watch.told() == ["error", "success"]


@pytest.mark.parametrize("content", ["wrong", None])
def test_a_wrong_file_at_the_start_is_an_error(tmp_path: Path, content: str | None) -> None:
    """There are no older keys to go on with."""
    watch = Watch(tmp_path / "file")
    if content is not None:
        watch.put(content)

    with pytest.raises(UnreadableError, match=str(watch.path)):
        watch.file.load()


async def test_it_is_looked_at_once_a_second(watch: Watch) -> None:
    """Not more often, whatever comes in meanwhile."""
    read_again: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    watch.file = watch.watching(use=read_again.set_result)
    running = asyncio.ensure_future(watch.file.run())
    await asyncio.sleep(0)
    watch.clock.advance(LOOK_SECONDS * 0.9)
    assert watch.clock.pending == 1

    watch.clock.advance(LOOK_SECONDS * 0.1)

    assert await read_again == "one"
    running.cancel()
    await asyncio.wait({running})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["one", "two", "wrong", "gone", "look"]), max_size=12))
def test_what_is_in_force_is_the_last_right_content_seen(watch: Watch, steps: list[str]) -> None:
    """After any history of changes, one look makes it so, and the metric says whether the file is wrong."""

    async def live() -> None:
        expected = watch.used[-1]
        for step in steps:
            if step == "gone":
                watch.path.unlink(missing_ok=True)
            elif step != "look":
                watch.put(step)
            await watch.file.look()
            expected = step if step in {"one", "two"} else expected
            assert watch.used[-1] == expected
            is_wrong = not watch.path.exists() or watch.path.read_text() == "wrong"
            assert (watch.told()[-1:] == ["error"]) == is_wrong

    asyncio.run(live())
