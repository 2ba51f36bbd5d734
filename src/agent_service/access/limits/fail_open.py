"""Counters that nobody has to wait for: where they fail, nothing is counted and work goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from agent_service.access.limits.base import CountersUnavailableError
from agent_service.core.context import REQUEST_ID
from agent_service.core.observer import LimitNotChecked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.access.limits.base import Counters, Taken
    from agent_service.access.limits.rate import Rate
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class FailOpen:
    """Asks ``counters``; after a failure one caller in each second, until they answer again.

    Args:
        counters: count.
        clock: times the pauses.
        observer: gets a ``LimitNotChecked`` for each call that came to nothing.
    """

    def __init__(self, counters: Counters, *, clock: Clock, observer: Observer) -> None:
        self._counters = counters
        self._clock = clock
        self._observer = observer
        self._asks_again_at: float | None = None

    def __repr__(self) -> str:
        return f"<FailOpen {self._counters!r}{'' if self._asks_again_at is None else ', which fail'}>"

    async def start(self) -> None:
        """Get ready to count."""
        await self._ask(self._counters.start)

    async def close(self) -> None:
        """See ``Counters``."""
        await self._counters.close()

    async def take(self, name: str, rates: tuple[Rate, ...]) -> Taken | None:
        """See ``Counters``; None when nothing was counted."""
        return await self._ask(lambda: self._counters.take(name, rates))

    async def spend(self, name: str, tokens: int, *, day: int) -> int | None:
        """See ``Counters``; None when it is not known."""
        return await self._ask(lambda: self._counters.spend(name, tokens, day=day))

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        if self._asks_again_at is not None:
            now_seconds = self._clock.monotonic()
            if now_seconds < self._asks_again_at:
                self._tell()
                return None
            self._asks_again_at = now_seconds + _PAUSE_SECONDS
        try:
            answer = await call()
        except CountersUnavailableError as error:
            self._failed(error)
            return None
        if self._asks_again_at is not None:
            self._asks_again_at = None
            _log.warning("limits are checked again")
        return answer

    def _failed(self, error: CountersUnavailableError) -> None:
        if self._asks_again_at is None:
            cause = type(error.__cause__ or error).__name__
            _log.error("limits are not checked: what counts for them fails", extra={"cause": cause})
        self._asks_again_at = self._clock.monotonic() + _PAUSE_SECONDS
        self._tell()

    def _tell(self) -> None:
        self._observer.observe(LimitNotChecked(REQUEST_ID.get()))
