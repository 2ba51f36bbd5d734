"""Counters of one machine, in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.access.limits.base import DAY_SECONDS, Counted, Taken
from agent_service.access.limits.rate import TICKS

if TYPE_CHECKING:
    import apsw

    from agent_service.access.limits.local_database import Database
    from agent_service.access.limits.rate import Rate
    from agent_service.core.clock import Clock

_FORGOTTEN_PER_CALL = 8
"""Above what a call can add, so that old counts go faster than new ones come."""

_SUM = "SELECT coalesce(sum(counted), 0), min(tick) FROM counts WHERE name = ? AND tick >= ?"
_ADD = """
INSERT INTO counts VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET counted = counted + excluded.counted"""
_FIND_EXPIRED = """
SELECT name, tick FROM counts WHERE expires_at_epoch_seconds <= ?
ORDER BY expires_at_epoch_seconds LIMIT ?"""
_DROP = "DELETE FROM counts WHERE name = ? AND tick = ?"


class LocalCounters:
    """Keeps the contract of ``Counters`` in a ``database``; ``clock`` tells the date."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def start(self) -> None:
        """See ``Counters``."""
        await self._database.start()

    async def close(self) -> None:
        """See ``Counters``."""
        await self._database.close()

    async def take(self, name: str, rates: tuple[Rate, ...]) -> Taken:
        """See ``Counters``."""
        now = self._clock.wall()
        return await self._database.run(lambda connection: _take(connection, name, rates, now))

    async def spend(self, name: str, tokens: int, *, day: int) -> int:
        """See ``Counters``."""
        return await self._database.run(lambda connection: _spend(connection, name, tokens, day))


def _take(connection: apsw.Connection, name: str, rates: tuple[Rate, ...], now: float) -> Taken:
    found: list[tuple[Rate, str, int, int, int]] = []
    for rate in rates:
        row, tick = f"{name}:{rate.unit}", rate.tick_at(now)
        [(used, oldest)] = _rows(connection, _SUM, (row, tick - TICKS))
        found.append((rate, row, tick, used, tick if oldest is None else oldest))
    is_within = all(used < rate.amount for rate, _, _, used, _ in found)
    if is_within:
        _forget(connection, now)
        for rate, row, tick, _, _ in found:
            _rows(connection, _ADD, (row, tick, 1, rate.leaves_at(tick)))
    counts = (Counted(used + is_within, rate.leaves_at(oldest) - now) for rate, _, _, used, oldest in found)
    return Taken(is_within, tuple(counts))


def _spend(connection: apsw.Connection, name: str, tokens: int, day: int) -> int:
    if tokens:
        _forget(connection, day * DAY_SECONDS)
        _rows(connection, _ADD, (name, day, tokens, (day + 2) * DAY_SECONDS))
    [(spent, _)] = _rows(connection, _SUM, (name, day))
    return int(spent)


def _forget(connection: apsw.Connection, now: float) -> None:
    for expired in _rows(connection, _FIND_EXPIRED, (now, _FORGOTTEN_PER_CALL)):
        _rows(connection, _DROP, expired)


def _rows(connection: apsw.Connection, sql: str, bindings: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return connection.execute(sql, bindings).fetchall()
