"""Who is told that a client has left."""

from __future__ import annotations

import asyncio

from agent_service.server.departure_watches import DepartureWatches


async def test_each_watch_is_told_once_and_soon_when_it_comes_too_late() -> None:
    """Who watches no more is not told, however often it says so; watching reads on."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    watches = DepartureWatches(
        loop, read_on=lambda: told.append("reads on"), hang_up=lambda: told.append("hung up")
    )
    watches.watch(lambda: told.append("a"))
    watches.watch(ignored := lambda: told.append("never"))
    watches.unwatch(ignored)
    watches.unwatch(ignored)
    assert repr(watches) == "<DepartureWatches 1>"

    watches.tell()
    watches.tell()
    assert told == ["reads on", "reads on", "a"]
    watches.watch(lambda: told.append("late"))
    assert told[-1] == "a"
    await asyncio.sleep(0)

    assert told[-1] == "late"
    watches.hang_up()
    assert told[-1] == "hung up"
    assert repr(watches) == "<DepartureWatches left>"
