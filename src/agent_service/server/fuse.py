"""The last resort of an exit: Python waits for threads without limit, and they cannot be interrupted."""

from __future__ import annotations

import logging
import os
import threading

_log = logging.getLogger("agent_service.server")


def leave_within(seconds: float, status: int) -> None:
    """End the process with ``status`` after ``seconds``, unless it is gone by then.

    A served program's blocked tool, a loop that no longer turns or a store that does not close can delay the
    exit, not prevent it. The shortest fuse wins. It cannot be put out.
    """
    fuse = threading.Timer(seconds, _leave, (status,))
    fuse.daemon = True
    fuse.start()


def _leave(status: int) -> None:
    blocked = [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]
    _log.warning("leaving without waiting any longer; blocked threads: %s", ", ".join(blocked) or "none")
    os._exit(status)
