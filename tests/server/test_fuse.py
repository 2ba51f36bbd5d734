from __future__ import annotations

import subprocess
import sys

HANGS = """
import threading
from agent_service.server.fuse import leave_within
threading.Thread(target=threading.Event().wait, name="blocked-tool").start()
leave_within(600, 1)
leave_within(0.01, 7)
threading.Event().wait()
"""


def test_the_shortest_fuse_ends_a_process_that_hangs() -> None:
    """Neither the main thread nor any other can hold the exit; the log names who tried."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 7
    assert "blocked threads: blocked-tool" in ended.stderr
