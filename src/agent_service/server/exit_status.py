"""From what a process died of to its exit status, and to what the log says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("agent_service.server")


def status_of(work: Callable[[], None]) -> int:
    """Do ``work``, which is all that this process does; returns the exit status.

    What our own errors say, with those that caused them, is for whoever starts the service and is logged as
    one line; of any other error the traceback is logged too.
    """
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the end of the process: whatever it was, the log has it
        if _is_ours(error):
            _log.critical("%s", _with_causes(error))
        else:
            _log.exception("the service failed")
        return 1
    return 0


def _is_ours(error: BaseException | None) -> bool:
    return type(error).__module__.startswith("agent_service.")


def _with_causes(error: BaseException) -> str:
    """A part tells callers little and names paths and reasons in the cause, which is for operators."""
    cause = error.__cause__
    return f"{error} {_with_causes(cause)}" if cause is not None and _is_ours(cause) else str(error)
