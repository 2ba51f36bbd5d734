"""How far a query came before it failed, and how far one may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import (
    BudgetExhaustedError,
    MemoryUnavailableError,
    PoolExhaustedError,
    ServiceError,
    UpstreamError,
)
from agent_service.core.messages import Progress, Usage
from agent_service.core.pool import PoolOptions
from agent_service.core.run import RunLimits
from agent_service.memory.base import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.run import Run
    from tests.runtime.conftest import Service


async def no_memory(user: str) -> None:
    """The store is down."""
    raise unavailable()


async def test_a_failure_of_a_program_tells_how_far_it_came(service: Service) -> None:
    """Whether it raised, its deadline passed or its service stopped: what it took was paid for."""

    async def busy(run: Run) -> str:
        run.count_tool_step("clock")
        run.count_lm_call(Usage(10, 5, lm_calls=1))
        return await service.hang(run)

    async def failing(run: Run) -> str:
        run.count_tool_step("clock")
        run.count_lm_call(Usage(10, 5, lm_calls=1))
        raise UpstreamError

    service.script = busy
    late, stopped = (
        await service.begun("late", timeout_seconds=1.0),
        await service.begun("stopped", user="bob"),
    )
    service.script = failing
    failed = await service.begun("failed", user="eve")
    service.clock.advance(1.0)
    await service.settle()
    service.runner.stop_all()
    await service.settle()

    for asking, code in ((late, "timeout"), (stopped, "shutting_down"), (failed, "upstream_error")):
        error = asking.exception()
        assert isinstance(error, ServiceError)
        assert (error.code, error.progress) == (code, Progress(1, Usage(10, 5, lm_calls=1)))


async def test_a_refusal_before_the_program_has_no_progress(
    open_service: Callable[..., Awaitable[Service]],
) -> None:
    """Nothing was done, at the door or at the store, so nothing is told."""
    service = await open_service(pool=PoolOptions(size=1, queue_limit=0))
    service.store.before_read = no_memory
    with pytest.raises(MemoryUnavailableError) as without_memory:
        await service.begin()
    service.store.before_read, service.script = None, service.hang
    await service.begun("holding")
    with pytest.raises(PoolExhaustedError) as without_slot:
        await service.begin("late")

    assert (without_memory.value.progress, without_slot.value.progress) == (None, None)


async def test_a_query_has_the_service_s_budget(open_service: Callable[..., Awaitable[Service]]) -> None:
    """What one query may use is an option; the error says which limit was met, and how far it came."""
    service = await open_service(limits=RunLimits(tool_steps=2))

    async def stepping(run: Run) -> str:
        while True:
            run.count_tool_step("clock")

    service.script = stepping
    with pytest.raises(BudgetExhaustedError, match="at most 2 tool steps") as stopped:
        await service.begin()
    assert stopped.value.progress == Progress(2, Usage())
    await service.assert_at_rest()
