"""Connections that are kept, and how many there may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from dspy._vendor.lm15.transports import TransportError

from agent_service.programs.lm.http.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.programs.lm.http.connector import Origin

_IDLE_SECONDS = 50.0  # shorter than the minute after which common load balancers hang up
_MOST_WAITING = 4096


class Connecting(Protocol):
    """Opens connections; see ``Connector``."""

    async def connect(self, origin: Origin, make: Callable[[], Connection]) -> Connection:
        """A new one; raises ``TransportError``."""


class ConnectionPool:
    """Lends connections, the last used one first. Belongs to the loop that first uses it.

    Args:
        max_connections: exchanges at once; others wait in turn.
        connector: opens them.
        idle_seconds: how long an unused connection is kept.
    """

    def __init__(
        self, *, max_connections: int, connector: Connecting, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        self._free = max_connections
        self._idle_seconds = idle_seconds
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: dict[Connection, Origin] = {}
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._connector = connector
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"<ConnectionPool {len(self._busy)} in use, {self.idle} idle,"
            f" {len(self._waiting)} waiting, {self._free} free>"
        )

    @property
    def free(self) -> int:
        """Exchanges that may begin now."""
        return self._free

    @property
    def idle(self) -> int:
        """Connections that wait for the next exchange."""
        return sum(map(len, self._idle.values()))

    def take_kept(self, origin: Origin) -> Connection | None:
        """The same as ``take``, when that would neither wait nor connect."""
        if not self._free or self._waiting or self._closed:
            return None
        connection = self._kept(origin)
        if connection is not None:
            self._free -= 1
            self._busy[connection] = origin
        return connection

    async def take(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """A connection for one exchange, whose end gives it back; ``fresh`` is one that was never used.

        Raises:
            TransportError: when there is none to be had.
        """
        if self._free and not self._waiting and not self._closed:
            self._free -= 1
        else:
            await self._turn()
        connection = None if fresh else self._kept(origin)
        if connection is None:
            try:
                connection = await self._connector.connect(origin, self._new)
            except BaseException:
                self._give_place()
                raise
        if self._closed:
            connection.abort()
            self._give_place()
            raise _closed()
        self._busy[connection] = origin
        return connection

    async def aclose(self) -> None:
        """Close all connections; exchanges fail, those who wait too."""
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(_closed())
        for connection in list(self._busy):
            connection.fail(_closed())
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # the loop closes their sockets in its next turn

    async def _turn(self) -> None:
        """Wait for somebody's place."""
        if self._closed:
            raise _closed()
        if len(self._waiting) >= _MOST_WAITING:
            raise TransportError("too many calls wait for a connection")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_place()
            raise
        finally:
            self._waiting.pop(waiter, None)

    def _give_place(self) -> None:
        """To the one who has waited longest."""
        while self._waiting:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _kept(self, origin: Origin) -> Connection | None:
        connections = self._idle.get(origin)
        while connections:
            connection = connections.pop()
            if connection.is_open:
                return connection
        return None

    def _new(self) -> Connection:
        return Connection(when_over=self._over, when_lost=self._lost)

    def _over(self, connection: Connection, reusable: bool) -> None:
        origin = self._busy.pop(connection)
        if reusable:
            loop = asyncio.get_running_loop()
            connection.idle_since_seconds = loop.time()
            self._idle.setdefault(origin, []).append(connection)
            if self._timer is None:
                self._timer = loop.call_later(self._idle_seconds, self._tidy)
        self._give_place()

    def _lost(self, connection: Connection) -> None:
        for connections in self._idle.values():
            if connection in connections:
                connections.remove(connection)

    def _tidy(self) -> None:
        """Close what was not used for too long, and look again when the next may be due."""
        loop = asyncio.get_running_loop()
        limit_seconds = loop.time() - self._idle_seconds
        kept_since_seconds = []
        for origin, connections in self._idle.items():
            for connection in connections:
                if connection.idle_since_seconds <= limit_seconds:
                    connection.abort()
            self._idle[origin] = [connection for connection in connections if connection.is_open]
            kept_since_seconds += [connection.idle_since_seconds for connection in self._idle[origin]]
        due_seconds = min(kept_since_seconds, default=None)
        self._timer = None
        if due_seconds is not None:
            self._timer = loop.call_at(due_seconds + self._idle_seconds, self._tidy)


def _closed() -> TransportError:
    return TransportError("the transport is closed")
