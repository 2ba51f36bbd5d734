"""The way into the queries' work: a few at a time for each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 8
"""Enough that what they ask of the store travels together, few enough that a turn stays short."""


class Turnstile:
    """Lets a few callers through in each turn of the event loop, in the order of their coming.

    Without it a flood of queries makes each turn of the loop as long as the flood is wide, and whatever
    comes next, a probe above all, waits for several such turns. A caller who gives up loses its place.
    """

    def __init__(self) -> None:
        self._places = AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Turnstile {len(self._waiting)} waiting>"

    async def enter(self) -> None:
        """Return when it is the caller's turn; at once when few came in this turn of the loop."""
        loop = asyncio.get_running_loop()
        if self._places == AT_ONCE:
            loop.call_soon(self._turn)
        if self._places:
            self._places -= 1
        else:
            place = loop.create_future()
            self._waiting.append(place)
            await place

    def _turn(self) -> None:
        """Let the next ones through, or rest when there is none."""
        self._places = AT_ONCE
        while self._waiting and self._places:
            self._places -= _let_through(self._waiting.popleft())
        if self._places < AT_ONCE:
            asyncio.get_running_loop().call_soon(self._turn)


def _let_through(place: asyncio.Future[None]) -> bool:
    """Whether somebody was still there."""
    if place.done():
        return False
    place.set_result(None)
    return True
