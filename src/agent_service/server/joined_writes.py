"""The head of an answer and what follows it at once leave together: one packet, one call of the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class JoinedWrites:
    """What uvicorn's cycles write to, for one connection.

    The first write of an answer waits for the second, or for the next turn of the loop; nothing else waits.

    Args:
        transport: where it goes.
        loop: runs the connection.
    """

    __slots__ = ("_head", "_is_first", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._is_first = True

    def __repr__(self) -> str:
        return f"<JoinedWrites {'with' if self._head else 'without'} a head>"

    def write(self, data: bytes) -> None:
        """Send ``data`` after what waits, or let it wait."""
        if self._is_first:
            self._is_first, self._head = False, data
            self._loop.call_soon(self._flush)
        elif self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def end_answer(self) -> None:
        """The answer is over: nothing waits any more, and the next write is the first of another."""
        self._flush()
        self._is_first = True

    def is_closing(self) -> bool:
        """See ``asyncio.Transport``."""
        return self._transport.is_closing()

    def close(self) -> None:
        """See ``asyncio.Transport``; what waits is sent before."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, None
        if head is not None and not self._transport.is_closing():
            self._transport.write(head)
