"""Health: named checks, each with its time limit, asked all at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agent_service.core.clock import wait_at_most
from agent_service.core.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.core.clock import Clock

_log = logging.getLogger(__name__)

HealthCheck = Callable[[], Awaitable[str]]
"""Returns ``ok`` or says what is wrong, for anybody to read."""

_FAILED = "failed"


class Health:
    """Asks named checks how they are.

    Args:
        checks: by name.
        timeout_seconds: how long each may take.
        clock: where time comes from.
    """

    def __init__(
        self, checks: Mapping[str, HealthCheck], *, timeout_seconds: float = 1.0, clock: Clock
    ) -> None:
        self._checks = dict(checks)
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Health of {', '.join(self._checks)}>"

    async def report(self) -> dict[str, str]:
        """What each check says, in the order they were given, after ``timeout_seconds`` at most.

        A check that raises ``failed``; the reason is shown only when it was written for callers, and logged.
        """
        answers = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, answers, strict=True))

    async def _ask(self, name: str, check: HealthCheck) -> str:
        """One answer in time, also when the check does not heed its cancellation."""
        task = asyncio.ensure_future(_answer_of(name, check))
        try:
            if not await wait_at_most(self._clock, self._timeout_seconds, task):
                _log.warning("health check %s gave no answer", name)
                return f"{_FAILED}: no answer within {self._timeout_seconds:g} s"
            return _FAILED if task.cancelled() else task.result()
        finally:
            task.cancel()


async def _answer_of(name: str, check: HealthCheck) -> str:
    try:
        return await check()
    except ServiceError as error:
        _log.warning("health check %s failed: %r from %r", name, error, error.__cause__)
        return f"{_FAILED}: {error.detail}"
    except Exception:  # noqa: BLE001 - whatever a check raises is an answer; the reason is for the log
        _log.exception("health check %s failed", name)
        return _FAILED
