from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import apsw
import pytest

from agent_service.access.limits.base import CountersUnavailableError
from agent_service.access.limits.local import LocalCounters
from agent_service.access.limits.local_database import FileDatabase
from agent_service.core.clock import SystemClock
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


def _counters(path: Path) -> LocalCounters:
    clock = SystemClock()
    return LocalCounters(FileDatabase(path, clock=clock), clock=clock)


async def test_what_was_spent_is_known_after_a_restart(tmp_path: Path) -> None:
    """In a file of the owner's, in a folder that is made."""
    path = tmp_path / "new" / "limits"
    counters = _counters(path)
    await counters.start()
    await counters.spend("a", 7, day=1)
    await counters.close()

    again = _counters(path)
    await again.start()
    assert await again.spend("a", 0, day=1) == 7
    await again.close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_processes_can_open_the_file_at_once(tmp_path: Path) -> None:
    """Workers start together, on a file that none of them finds."""
    several = [_counters(tmp_path / "limits") for _ in range(8)]
    await asyncio.gather(*(counters.start() for counters in several))
    await asyncio.gather(*(counters.spend("a", 1, day=1) for counters in several))
    assert await several[0].spend("a", 0, day=1) == 8
    await asyncio.gather(*(counters.close() for counters in several))


async def test_a_damaged_file_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Counts are not worth a service that does not count."""
    path = tmp_path / "limits"
    path.write_bytes(b"no database" * 1000)
    counters = _counters(path)
    await counters.start()

    assert await counters.spend("a", 1, day=1) == 1
    await counters.close()
    assert "damaged" in caplog.text


async def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """As something that cannot count, not as an error of a query."""
    (tmp_path / "file").touch()
    counters = _counters(tmp_path / "file" / "limits")
    with pytest.raises(CountersUnavailableError):
        await counters.start()
    with pytest.raises(CountersUnavailableError):
        await counters.spend("a", 1, day=1)
    await counters.close()


async def test_nobody_waits_long_for_a_slow_disk(tmp_path: Path) -> None:
    """After the time that a query has for it, it goes on; what was asked late is not done."""
    clock = FakeClock()
    database = FileDatabase(tmp_path / "limits", clock=clock)
    await database.start()
    entered, go_on = threading.Event(), threading.Event()

    def hang(_: apsw.Connection) -> None:
        entered.set()
        go_on.wait(10)

    waiting = asyncio.ensure_future(database.run(hang))
    await asyncio.to_thread(entered.wait, 10)
    clock.advance(0.2)
    with pytest.raises(CountersUnavailableError):
        await waiting
    go_on.set()
    await database.close()


async def test_a_failure_of_the_database_is_told_as_such(tmp_path: Path) -> None:
    """With its cause, for the log."""
    database = FileDatabase(tmp_path / "limits", clock=SystemClock())
    await database.start()
    with pytest.raises(CountersUnavailableError) as failed:
        await database.run(lambda connection: connection.execute("SELECT * FROM nothing"))
    assert isinstance(failed.value.__cause__, apsw.SQLError)
    await database.close()
