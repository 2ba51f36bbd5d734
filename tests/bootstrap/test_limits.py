"""The settings decide what counts, and whether anything is counted at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_service.access.limits.limiter import Limiter
from agent_service.bootstrap.limits import build_limits, counting
from agent_service.config import Settings
from agent_service.core.caller import ANYBODY
from agent_service.core.errors import RateLimitedError
from agent_service.core.messages import Usage
from agent_service.core.observer import LimitNotChecked, Observers, QueryFinished
from agent_service.core.siblings import ALONE, Siblings
from agent_service.testing import FakeClock, RecordingObserver
from tests.siblings import Sibling


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class Built:
    """What counts for some settings, and what it told."""

    def __init__(self, siblings: Siblings = ALONE, **environ: str) -> None:
        self.heard, self.observers = RecordingObserver(), Observers()
        self.observers.add(self.heard)
        self.limits = build_limits(
            Settings.load(environ, dotenv_path=Path("/nowhere/.env")),
            clock=FakeClock(),
            observers=self.observers,
            siblings=siblings,
        )

    async def ask(self) -> None:
        assert isinstance(self.limits, Limiter)
        await self.limits.admit(ANYBODY, "ada", "query")


async def test_without_limits_nothing_is_counted() -> None:
    """And nothing is opened."""
    built = Built()
    async with counting(built.limits):
        assert built.limits is None


async def test_a_process_that_is_alone_counts_queries_in_memory(tmp_path: Path) -> None:
    """It leaves no file behind."""
    built = Built(RATE_LIMIT="1/hour", MEMORY_PATH=str(tmp_path / "c.db"))
    async with counting(built.limits):
        await built.ask()
        with pytest.raises(RateLimitedError):
            await built.ask()
    assert _names(tmp_path) == []


async def test_processes_with_siblings_count_in_one_file(tmp_path: Path) -> None:
    """Beside the conversations; also after one of them was replaced."""
    path = str(tmp_path / "c.db")
    one, another = (Built(Sibling([]), RATE_LIMIT="1/hour", MEMORY_PATH=path) for _ in range(2))
    async with counting(one.limits), counting(another.limits):
        await one.ask()
        with pytest.raises(RateLimitedError):
            await another.ask()
    assert "c.db-limits" in _names(tmp_path)


async def test_tokens_are_counted_in_the_file_and_heard_of_by_events(tmp_path: Path) -> None:
    """So that a restart gives no new budget."""
    path = str(tmp_path / "c.db")
    built = Built(TOKENS_PER_DAY="10", MEMORY_PATH=path)
    async with counting(built.limits):
        await built.ask()
        built.observers.observe(
            QueryFinished("r", "ada", "s", "p", "m", None, 0, (), Usage(9, 1, 1), 0.1, stored=True)
        )
    again = Built(TOKENS_PER_DAY="10", MEMORY_PATH=path)
    async with counting(again.limits):
        with pytest.raises(RateLimitedError):
            await again.ask()


async def test_keys_may_have_limits_of_their_own(tmp_path: Path) -> None:
    """So there is something that counts as soon as there are keys."""
    (tmp_path / "keys.json").write_text('{"version": 1, "keys": []}')
    built = Built(API_KEYS_FILE=str(tmp_path / "keys.json"), MEMORY_PATH=str(tmp_path / "c.db"))
    async with counting(built.limits):
        await built.ask()
    assert isinstance(built.limits, Limiter)


async def test_a_redis_that_is_not_there_stops_neither_start_nor_queries() -> None:
    """They go uncounted, and are told."""
    built = Built(RATE_LIMIT="1/hour", REDIS_URL="redis://127.0.0.1:1/0")
    async with counting(built.limits):
        await built.ask()
        await built.ask()
    assert len(built.heard.of(LimitNotChecked)) == 3
