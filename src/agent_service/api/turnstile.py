"""The way into the queries' work: one at a time for each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque


class Turnstile:
    """Lets one caller through in each turn of the event loop, in the order of their coming.

    Without it a flood of queries makes each turn of the loop as long as the flood is wide, and whatever
    comes next, a probe above all, waits for several such turns. A caller who gives up loses its place.
    """

    def __init__(self) -> None:
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Turnstile {len(self._waiting)} waiting>"

    async def enter(self) -> None:
        """Return when it is the caller's turn; at once when nobody came in this turn of the loop."""
        loop = asyncio.get_running_loop()
        if self._turning:
            place = loop.create_future()
            self._waiting.append(place)
            await place
        else:
            self._turning = True
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Let the next one through, or rest when there is none."""
        self._turning = any(_let_through(self._waiting.popleft()) for _ in range(len(self._waiting)))
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)


def _let_through(place: asyncio.Future[None]) -> bool:
    """Whether somebody was still there."""
    if place.done():
        return False
    place.set_result(None)
    return True
