"""Real workers around a small fake service: their start, their lines, how one hands over."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., "Supervised"]

ASSET = Path(__file__).parent / "assets" / "supervise_fake.py"


class Supervised:
    """A supervisor and its two workers."""

    def __init__(self, start_method: str) -> None:
        self.lines: list[str] = []
        command = [sys.executable, str(ASSET), "2", start_method]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until("both serve", lambda: len(self.said(r"worker (\d+) serves")) == 2, seconds=30)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def said(self, pattern: str) -> list[str]:
        """What the pattern's group matched, line by line."""
        return re.findall(pattern, "".join(list(self.lines)))

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection(
            "127.0.0.1", int(self.said(r"listening on .*:(\d+)")[0]), timeout=10
        )

    def workers(self) -> set[int]:
        """The workers that the supervisor has said to serve, and not to have ended."""
        ended = self.said(r"worker (\d+) (?:has )?ended")
        return set(map(int, self.said(r"worker (\d+) serves"))) - set(map(int, ended))

    def close(self) -> None:
        """End all, whatever happens."""
        if self.process.poll() is None:
            for descendant in psutil.Process(self.process.pid).children():
                descendant.kill()
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts supervisors; they are gone after the test."""
    with ExitStack() as stack:

        def start(start_method: str = "fork") -> Supervised:
            supervised = Supervised(start_method)
            stack.callback(supervised.close)
            return supervised

        yield start


def _pids(connection: http.client.HTTPConnection) -> tuple[list[int], str | None]:
    """The asked worker and its siblings, and what becomes of the connection."""
    connection.request("GET", "/pids")
    answer = connection.getresponse()
    return json.loads(answer.read()), answer.headers["connection"]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_serve_one_port_and_know_each_other(start: Start, start_method: str) -> None:
    """Also where processes cannot be forked; what all share is prepared once, in the supervisor."""
    supervised = start(start_method)
    connection = supervised.connect()
    pids, _ = _pids(connection)
    connection.close()
    assert set(pids) == supervised.workers()
    assert supervised.said(r"(\d+): prepared") == [str(supervised.process.pid)]
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(timeout=20) == 0
    assert not any(map(psutil.pid_exists, pids))


def test_a_worker_that_is_told_to_end_hands_over(start: Start) -> None:
    """It serves what comes on its open connection, once and with the word to reconnect, and is replaced."""
    supervised = start()
    connection = supervised.connect()
    (leaving, staying), _ = _pids(connection)
    os.kill(leaving, signal.SIGTERM)
    wait_until("another serves", lambda: len(supervised.said(r"worker (\d+) serves")) == 3)
    pids, ending = _pids(connection)
    connection.close()
    assert (pids[0], ending) == (leaving, "close")
    wait_until("it ends", lambda: supervised.said(r"worker (\d+) has ended") == [str(leaving)])
    following = supervised.connect()
    pids, ending = _pids(following)
    following.close()
    assert set(pids) == supervised.workers()
    assert staying in pids
    assert ending is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_to_all_is_the_supervisor_s(start: Start, number: int) -> None:
    """Workers pass over interrupts and hang-ups: the supervisor hears the same and decides."""
    supervised = start()
    workers = supervised.workers()
    for worker in workers:
        os.kill(worker, number)
    connection = supervised.connect()
    pids, ending = _pids(connection)
    connection.close()
    assert set(pids) == workers
    assert ending is None


def test_a_port_in_use_is_known_before_anything_is_loaded(start: Start) -> None:
    """The status is that of a failed start, and no worker was begun."""
    busy = start()
    code = (
        "import sys; from supervise_fake import build; from agent_service.server.workers import supervise;"
        "from agent_service.server.process import ProcessOptions as P;"
        "from agent_service.server.workers.roster import RosterOptions as R;"
        "sys.exit(supervise(build, prepare=lambda: print('prepared'), host='127.0.0.1',"
        f"port={busy.said(r'listening on .*:([0-9]+)')[0]}, options=P(), roster=R(2)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(ASSET.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "set SERVER_PORT" in done.stdout
    assert "prepared" not in done.stdout
