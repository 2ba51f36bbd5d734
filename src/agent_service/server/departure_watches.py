"""Who wants to know when the client of one connection leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class DepartureWatches:
    """The watches on one connection; see ``Departures``.

    Args:
        loop: runs the connection.
        read_on: reads on, as uvicorn's ``receive`` does, or the end would go unnoticed.
        hang_up: ends the connection at once.
    """

    __slots__ = ("_callbacks", "_has_left", "_loop", "_read_on", "hang_up")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, read_on: Callable[[], None], hang_up: Callable[[], None]
    ) -> None:
        self.hang_up = hang_up
        self._loop = loop
        self._read_on = read_on
        self._has_left = False
        self._callbacks: set[Callable[[], None]] = set()

    def __repr__(self) -> str:
        return f"<DepartureWatches {'left' if self._has_left else len(self._callbacks)}>"

    def watch(self, callback: Callable[[], None]) -> None:
        """See ``Departures``."""
        if self._has_left:
            self._loop.call_soon(callback)
            return
        self._read_on()
        self._callbacks.add(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """See ``Departures``."""
        self._callbacks.discard(callback)

    def tell(self) -> None:
        """The client has left."""
        self._has_left = True
        while self._callbacks:
            self._callbacks.pop()()
