"""Every backend behind one factory; a store that leaves a thread behind fails its test."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest

from agent_service.memory.base import StoreOptions
from agent_service.memory.in_memory import InMemoryStore
from agent_service.memory.sqlite import SqliteOptions, SqliteStore
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from agent_service.memory.base import ConversationStore


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """What a test starts, it ends."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test moves."""
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
def new_store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Callable[[StoreOptions], ConversationStore]:
    """Makes a store of the backend under test, with nothing in it, not started."""
    numbers = count()

    def make(options: StoreOptions) -> ConversationStore:
        if request.param == "memory":
            return InMemoryStore(options, clock=clock)
        return SqliteStore(options, SqliteOptions(tmp_path / f"{next(numbers)}.db"), clock=clock)

    return make


@pytest.fixture
async def store(
    new_store: Callable[[StoreOptions], ConversationStore],
) -> AsyncIterator[ConversationStore]:
    """A started store that keeps three turns for an hour."""
    made = new_store(StoreOptions(ttl_seconds=3600.0, max_turns=3))
    await made.start()
    yield made
    await made.close()
