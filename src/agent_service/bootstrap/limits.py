"""The composition root's part for limits: what counts, and where."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent_service.config import options as options_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.access.limits.base import Counters
    from agent_service.access.limits.limiter import Limiter
    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observers
    from agent_service.core.siblings import Siblings


def build_limits(
    settings: Settings, *, clock: Clock, observers: Observers, siblings: Siblings
) -> Limiter | None:
    """What counts queries and tokens, None where nobody has a limit: no setting, and no key that could.

    In Redis where there is one. Else in a file, where several processes or the next start need to know;
    the queries of a process that is alone are counted in its memory.
    """
    options = options_of.rate_limit_options(settings)
    if not options and settings.api_keys_file is None:
        return None
    from agent_service.access.limits.fail_open import FailOpen  # noqa: PLC0415 - few need it
    from agent_service.access.limits.limiter import Limiter  # noqa: PLC0415 - as above

    def failing_open(counters: Counters) -> FailOpen:
        return FailOpen(counters, clock=clock, observer=observers)

    shared = failing_open(_shared(settings, clock=clock))
    rates = shared
    if settings.redis_url is None and not siblings.are_there:
        rates = failing_open(_own(clock=clock))
    has_budgets = settings.tokens_per_day is not None or settings.api_keys_file is not None
    budgets = shared if has_budgets else rates
    limiter = Limiter(options, rates=rates, budgets=budgets, clock=clock, observer=observers)
    observers.add(limiter)
    return limiter


@asynccontextmanager
async def counting(limits: Limiter | None) -> AsyncIterator[None]:
    """Within, ``limits`` counts; after it, all that was used is charged."""
    if limits is None:
        yield
        return
    await limits.start()
    try:
        yield
    finally:
        await limits.close()


def _shared(settings: Settings, *, clock: Clock) -> Counters:
    if settings.redis_url is not None:
        from agent_service.access.limits.redis import RedisCounters  # noqa: PLC0415 - as above

        return RedisCounters(settings.redis_url.get_secret_value(), clock=clock)
    from agent_service.access.limits.local import LocalCounters  # noqa: PLC0415 - as above
    from agent_service.access.limits.local_database import FileDatabase  # noqa: PLC0415 - as above

    path = settings.memory_path.with_name(f"{settings.memory_path.name}-limits")
    return LocalCounters(FileDatabase(path, clock=clock), clock=clock)


def _own(*, clock: Clock) -> Counters:
    from agent_service.access.limits.local import LocalCounters  # noqa: PLC0415 - as above
    from agent_service.access.limits.local_database import MemoryDatabase  # noqa: PLC0415 - as above

    return LocalCounters(MemoryDatabase(), clock=clock)
