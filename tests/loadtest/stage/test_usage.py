from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from agent_service.loadtest.stage.usage import usage_of

PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "x = bytearray(50_000_000); print('up', flush=True); input()"]).wait()
"""


def test_it_grows_with_the_work() -> None:
    """CPU seconds of a process that computes go up by about as much."""
    before = usage_of(os.getpid())
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert 0.1 < usage_of(os.getpid()).cpu_seconds - before.cpu_seconds < 5


def test_children_count() -> None:
    """A server's workers are part of it."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    assert usage_of(parent.pid).rss_bytes > 50_000_000
    parent.communicate("\n", timeout=10)


def test_a_process_that_is_gone_is_an_error() -> None:
    """Whether it has been waited for or not."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(ProcessLookupError):
        usage_of(ended.pid)
