"""Tasks of the service's own."""

from __future__ import annotations

import asyncio

from agent_service.runtime.owned_tasks import OwnedTasks


async def test_work_goes_on_whoever_leaves_and_is_waited_for() -> None:
    """Cancelling who began it does not end it; ``done`` waits for it, and for what it begins."""
    tasks, log = OwnedTasks(), []

    async def work(name: str, *more: str) -> None:
        await asyncio.sleep(0)
        log.append(name)
        if more:
            tasks.begin(work(*more))

    async def caller() -> None:
        await asyncio.shield(tasks.begin(work("first", "second")))

    asking = asyncio.create_task(caller())
    await asyncio.sleep(0)
    asking.cancel()
    await tasks.done()

    assert asking.cancelled()
    assert log == ["first", "second"]
    assert repr(tasks) == "<OwnedTasks 0 under way>"
