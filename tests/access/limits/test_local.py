from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from agent_service.access.limits.local import LocalCounters
from agent_service.access.limits.local_database import MemoryDatabase
from agent_service.access.limits.rate import Rate, parse_rates
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    import apsw

    from agent_service.access.limits.base import Taken


def _rows(connection: apsw.Connection) -> int:
    return len(connection.execute("SELECT name FROM counts").fetchall())


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
async def test_no_window_ever_holds_more_than_the_limit(pauses: list[float]) -> None:
    """Wherever it begins; and who waits as long as is said is let through."""
    clock, rate = FakeClock(), Rate(3, "minute")
    counters = LocalCounters(MemoryDatabase(), clock=clock)
    await counters.start()
    let_through: list[float] = []
    refused: Taken | None = None
    for pause in pauses:
        clock.advance(pause)
        taken = await counters.take("a", (rate,))
        if taken.is_within:
            let_through.append(clock.wall())
        refused = None if taken.is_within else taken
    for at in let_through:
        assert sum(at <= other < at + 60 for other in let_through) <= 3
    if refused is not None:
        clock.advance(refused.counts[0].wait_seconds + 0.001)
        assert (await counters.take("a", (rate,))).is_within
    await counters.close()


async def test_counts_that_are_over_are_forgotten() -> None:
    """The counters take as much room as callers of the longest window need, and no more."""
    clock, database = FakeClock(wall=86_400.0), MemoryDatabase()
    counters = LocalCounters(database, clock=clock)
    await counters.start()
    for number in range(50):
        await counters.take(f"a{number}", parse_rates("5/minute;9/second"))
        await counters.spend(f"b{number}", 1, day=1)

    clock.advance(3 * 86_400.0)
    for _ in range(20):
        await counters.take("late", parse_rates("50/minute"))

    assert await database.run(_rows) == 1
    await counters.close()
