"""Who blocks the event loop: told while it happens, by a thread that the loop cannot stop."""

from __future__ import annotations

import logging
import math
import sys
import threading
import traceback
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from agent_service.core.clock import sleep
from agent_service.core.observer import LoopBlocked

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

_log = logging.getLogger(__name__)

_FRAMES = 10
_ERROR_SECONDS = 30.0


class LoopWatchdog:
    """Expects a sign of life from the event loop, and tells whose code it runs when there is none.

    Each blockage is one ``LoopBlocked`` and one warning with the innermost frames of the loop's thread,
    the innermost first, as ``file.py:line function``: no paths, no values. A long one is an error once
    more; its end is told with its length.

    Args:
        clock: where time comes from; read on the watching thread too.
        observer: told of each blockage, on the watching thread.
        blocked_seconds: of silence until the loop counts as blocked.
    """

    def __init__(self, *, clock: Clock, observer: Observer, blocked_seconds: float = 1.0) -> None:
        self._clock = clock
        self._observer = observer
        self._blocked_seconds = blocked_seconds
        self._interval_seconds = blocked_seconds / 4
        self._expected_at_seconds = math.inf
        self._blocked_at_seconds: float | None = None
        self._is_error = False

    def __repr__(self) -> str:
        return f"<LoopWatchdog, the loop {'turns' if self._blocked_at_seconds is None else 'is blocked'}>"

    async def run(self) -> None:
        """Watch the running loop until cancelled."""
        ended = threading.Event()
        watching = (ended, threading.get_ident())
        threading.Thread(target=self._watch, args=watching, name="loop-watchdog", daemon=True).start()
        try:
            while True:
                self.beat()
                await sleep(self._clock, self._interval_seconds)
        finally:
            ended.set()

    def _watch(self, ended: threading.Event, loop_thread: int) -> None:
        while not ended.wait(self._interval_seconds):
            self.look(loop_thread)

    def beat(self) -> None:
        """The loop turns: its sign of life, and until when the next is due."""
        self._expected_at_seconds = self._clock.monotonic() + self._interval_seconds

    def look(self, loop_thread: int) -> None:
        """See once how the loop that runs on ``loop_thread`` is, and tell what is new."""
        silent_seconds = self._clock.monotonic() - self._expected_at_seconds
        if silent_seconds < self._blocked_seconds:
            self._turns()
        elif self._blocked_at_seconds is None:
            self._blocked_at_seconds = self._expected_at_seconds
            self._tell(logging.WARNING, "the event loop is blocked", silent_seconds, loop_thread)
            self._observer.observe(LoopBlocked(request_id="", blocked_seconds=silent_seconds))
        elif silent_seconds >= _ERROR_SECONDS and not self._is_error:
            self._is_error = True
            self._tell(logging.ERROR, "the event loop is still blocked", silent_seconds, loop_thread)

    def _turns(self) -> None:
        if self._blocked_at_seconds is not None:
            alive_at_seconds = self._expected_at_seconds - self._interval_seconds
            blocked_seconds = alive_at_seconds - self._blocked_at_seconds
            _log.info("the event loop turns again", extra={"blocked_ms": round(blocked_seconds * 1000)})
        self._blocked_at_seconds, self._is_error = None, False

    def _tell(self, level: int, text: str, silent_seconds: float, loop_thread: int) -> None:
        facts = {"blocked_ms": round(silent_seconds * 1000), "frames": _frames_of(loop_thread)}
        _log.log(level, text, extra=facts)


def _frames_of(thread: int) -> list[str]:
    """Where a thread is, the innermost frame first; empty when it has ended."""
    innermost = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to another thread's stack
    frames = traceback.walk_stack(innermost) if innermost else ()
    return [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in islice(frames, _FRAMES)
    ]
