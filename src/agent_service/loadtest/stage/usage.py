"""CPU and memory of a process and its children."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes have used of CPU since they started, and hold of memory."""

    cpu_seconds: float
    rss_bytes: int


def usage_of(pid: int) -> Usage:
    """The usage of process ``pid`` and its children, those that have ended included.

    Raises:
        ProcessLookupError: when there is no such process.
    """
    try:
        root = psutil.Process(pid)
        family = [_usage(root)]
        children = root.children(recursive=True)
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"process {pid} is gone") from error
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):  # its parent has its CPU time then
            family.append(_usage(child))
    return Usage(sum(one.cpu_seconds for one in family), sum(one.rss_bytes for one in family))


def _usage(process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        used = times.user + times.system + times.children_user + times.children_system
        return Usage(used, process.memory_info().rss)
