"""Signals for a process without an event loop: each becomes something to read."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from typing_extensions import Self


class SignalPipe:
    """Within the ``with`` block, ``numbers`` do nothing but make the pipe readable. For the main thread."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._before: dict[signal.Signals, Any] = {}
        self._reading, self._writing = socket.socketpair()
        self._wakeup_before = -1

    def __repr__(self) -> str:
        return f"<SignalPipe of {', '.join(number.name for number in self._numbers)}>"

    def __enter__(self) -> Self:
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _hear) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reading.close()
        self._writing.close()

    def fileno(self) -> int:
        """For ``select``."""
        return self._reading.fileno()

    def received(self) -> list[int]:
        """The signals since the last call, in order."""
        try:
            return list(self._reading.recv(4096))
        except BlockingIOError:
            return []


def _hear(_number: int, _frame: FrameType | None) -> None:
    """Without a handler in Python, the interpreter would not write to the wakeup descriptor."""
