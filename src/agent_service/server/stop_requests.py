"""What operators say by signals: please stop, and stop now."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

    from agent_service.core.clock import Clock

SIGNALS = (signal.SIGTERM, signal.SIGINT)

ECHO_SECONDS = 0.1
"""A second signal this soon is the first one again: process groups and supervisors deliver it twice."""


class StopRequests:
    """The first SIGTERM or SIGINT asks to stop, any later one insists.

    Attributes:
        asked: set by the first signal, and when others take over.
        urgent: set by the first signal: nobody takes over.
        insisted: set by a later one.
    """

    def __init__(self, *, clock: Clock) -> None:
        self.asked = asyncio.Event()
        self.urgent = asyncio.Event()
        self.insisted = asyncio.Event()
        self._clock = clock
        self._asked_at_seconds = 0.0

    def __repr__(self) -> str:
        state = "insisted" if self.insisted.is_set() else "asked" if self.asked.is_set() else "quiet"
        return f"<{type(self).__name__} {state}>"

    def listen(self) -> None:
        """Hear signals on the running event loop, which must be the main thread's."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.hear)

    def hear(self) -> None:
        """One signal came."""
        now_seconds = self._clock.monotonic()
        if not self.urgent.is_set():
            self._asked_at_seconds = now_seconds
            self.urgent.set()
            self.asked.set()
        elif now_seconds - self._asked_at_seconds > ECHO_SECONDS:
            self.insisted.set()

    def hand_over(self) -> None:
        """Stop in favour of other processes that accept from the same socket: no client is to notice."""
        self.asked.set()


def exit_on_signal() -> None:
    """Until an event loop listens: a signal ends the process at once with status 0."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def ignore_signals() -> None:
    """When the work is over: a late signal changes nothing about the exit status."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)
