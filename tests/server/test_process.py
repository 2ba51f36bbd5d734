"""Real processes and real signals around a small fake service."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_service.server.process import CANCEL_SECONDS, EXIT_SECONDS, FINISH_SECONDS, ProcessOptions
from agent_service.server.stop_requests import ECHO_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from typing_extensions import Self

ASSET = Path(__file__).parent / "assets" / "serve_fake.py"
GRACE_SECONDS = 20.0


class ServedProcess:
    """A process that serves the fake service; ends with the ``with`` block whatever happens."""

    def __init__(self, *mode: str, port: int = 0, grace_seconds: float = GRACE_SECONDS) -> None:
        command = [sys.executable, str(ASSET), "127.0.0.1", str(port), str(grace_seconds), *mode]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._clients = ThreadPoolExecutor()
        self.port = 0
        self.output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._clients.shutdown()

    def read_until(self, words: str) -> str:
        """Wait for a line with ``words``."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if words in line:
                return line
        raise AssertionError(f"{words!r} was never said, but:\n{self.output}")

    def up(self) -> Self:
        """Wait until it listens."""
        line = self.read_until("listening on")
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line
        self.port = int(found[1])
        return self

    def get(self, path: str) -> tuple[int, str | None, str | None]:
        """Status, Connection header and content type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers["connection"], answer.headers["content-type"]
        finally:
            connection.close()

    def get_meanwhile(self, path: str) -> Future[tuple[int, str | None, str | None]]:
        """Like ``get``, without waiting."""
        return self._clients.submit(self.get, path)

    def signal(self, number: int) -> None:
        """Send a real signal."""
        self._process.send_signal(number)

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def status(self) -> int:
        """Wait for the end; the exit status."""
        self.output += self._process.communicate(timeout=30)[0]
        return self._process.returncode


@pytest.fixture
def served() -> Iterator[ServedProcess]:
    """A process that listens."""
    with ServedProcess() as process:
        yield process.up()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_then_stops_with_status_0(served: ServedProcess, number: int) -> None:
    """Queries in flight finish, new ones get 503 on the open listener, then the service stops."""
    in_flight = served.get_meanwhile("/work")
    served.read_until("working")
    served.signal(number)
    served.read_until("draining")
    time.sleep(0.3)  # uvicorn looks every 0.1 s whether to close the listener
    assert served.get("/work") == (503, "close", None)
    assert served.get("/finish")[0] == 200
    assert in_flight.result()[:2] == (200, "close")
    assert served.status() == 0
    assert served.output.splitlines()[-1] == "stopped"


def test_an_idle_process_stops_at_once(served: ServedProcess) -> None:
    """The grace is an upper limit, not a wait; idle kept connections do not delay."""
    with socket.create_connection(("127.0.0.1", served.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        before = time.monotonic()
        served.signal(signal.SIGTERM)
        assert served.status() == 0
    assert time.monotonic() - before < GRACE_SECONDS / 2


def test_a_client_that_does_not_read_does_not_hold_the_exit(served: ServedProcess) -> None:
    """Answers that nobody takes are dropped with their connection."""
    with socket.create_connection(("127.0.0.1", served.port)) as deaf:
        deaf.sendall(b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n")
        assert deaf.recv(12) == b"HTTP/1.1 200"
        before = time.monotonic()
        served.signal(signal.SIGTERM)
        assert served.status() == 0
    assert time.monotonic() - before < FINISH_SECONDS + CANCEL_SECONDS
    assert "leaving without waiting" not in served.output


def test_after_the_grace_queries_are_cut_off_and_awaited() -> None:
    """Who exceeds the grace is cancelled, may clean up before the service stops, and answers 503."""
    with ServedProcess(grace_seconds=0.1) as served:
        cut = served.up().get_meanwhile("/stubborn")
        served.read_until("working")
        served.signal(signal.SIGTERM)
        assert served.status() == 0
        assert cut.result() == (503, "close", "application/problem+json")
        assert served.output.splitlines()[-2:] == ["cleaned up", "stopped"]
        assert "Traceback" not in served.output


def test_a_second_signal_forces(served: ServedProcess) -> None:
    """A second signal ends the grace: queries are cancelled, the service stops in order, the status is 0."""
    cut = served.get_meanwhile("/stubborn")
    served.read_until("working")
    before = time.monotonic()
    served.signal(signal.SIGINT)
    served.read_until("draining")
    time.sleep(0.2)  # a signal sooner than a human's second is an echo of the first
    served.signal(signal.SIGINT)
    assert served.status() == 0
    assert time.monotonic() - before < GRACE_SECONDS / 2
    assert cut.result()[0] == 503
    assert served.output.splitlines()[-2:] == ["cleaned up", "stopped"]


def test_a_blocked_thread_does_not_hold_the_exit(served: ServedProcess) -> None:
    """A tool that never returns keeps its thread; the process goes all the same, with status 0."""
    served.get("/block")
    before = time.monotonic()
    served.signal(signal.SIGTERM)
    assert served.status() == 0
    assert time.monotonic() - before < EXIT_SECONDS + 5
    assert "blocked threads: blocked-tool" in served.output


def test_late_signals_do_not_change_the_status(served: ServedProcess) -> None:
    """However often and late a supervisor repeats itself, the status of a stop is 0."""
    served.get("/block")
    while served.running():
        served.signal(signal.SIGTERM)
        time.sleep(0.02)
    assert served.status() == 0


def test_a_signal_before_the_start_ends_the_process() -> None:
    """While the program is loaded nothing needs an orderly end, so the end is at once."""
    with ServedProcess("slow-build") as served:
        served.read_until("building")
        served.signal(signal.SIGTERM)
        assert served.status() == 0


def test_a_signal_during_the_start_undoes_it() -> None:
    """A process that is told to stop before it is ready undoes its start in order, with status 0."""
    with ServedProcess("slow-start") as served:
        served.read_until("starting")
        served.signal(signal.SIGTERM)
        assert served.status() == 0
        assert served.output.splitlines()[-1] == "start undone"


def test_a_port_in_use_is_said_in_one_line() -> None:
    """The operator learns what is wrong and which setting mends it, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with ServedProcess(port=port) as served:
            assert served.status() == 1
            said = f"cannot listen on 127.0.0.1:{port}: address already in use; set SERVER_PORT\n"
            assert served.output == said


@pytest.mark.parametrize("mode", ["failed-build", "failed-start"])
def test_an_expected_failure_to_start_is_said_in_one_line(mode: str) -> None:
    """Our own errors are written for people: one line, status 1."""
    with ServedProcess(mode) as served:
        assert served.status() == 1
        assert served.output.replace("starting\n", "") == "The program cannot be served.\n"


def test_an_expected_failure_to_start_says_its_cause_too() -> None:
    """What a caller is not told, a path for one, the one who starts the service needs; still one line."""
    with ServedProcess("failed-part") as served:
        assert served.status() == 1
        said = served.output.replace("starting\n", "")
        assert said == "A part cannot be opened. /data/file is damaged.\n"


def test_an_unexpected_failure_to_start_shows_where() -> None:
    """Any other error is a bug, and its traceback is kept."""
    with ServedProcess("broken-start") as served:
        assert served.status() == 1
        assert "the service failed\nTraceback" in served.output
        assert "RuntimeError: a bug" in served.output


def test_queries_are_answered_until_the_delay_is_over() -> None:
    """Load balancers have time to notice that the service is not ready any more; then comes the drain."""
    with ServedProcess("late") as served:
        served.up().signal(signal.SIGTERM)
        served.read_until("withdrawn")
        assert served.get("/") == (200, "close", None)
        before = time.monotonic()
        served.read_until("draining")
        assert 0.5 < time.monotonic() - before < 5
        assert served.status() == 0


def test_a_second_signal_ends_the_delay() -> None:
    """Whoever insists waits for nothing."""
    with ServedProcess("very-late") as served:
        served.up().signal(signal.SIGTERM)
        served.read_until("withdrawn")
        time.sleep(2 * ECHO_SECONDS)
        served.signal(signal.SIGTERM)
        served.read_until("draining")
        assert served.status() == 0


@pytest.mark.parametrize("name", ["grace_seconds", "delay_seconds"])
def test_no_span_below_zero(name: str) -> None:
    """A span is not negative."""
    with pytest.raises(ValueError, match=name):
        ProcessOptions(**{name: -1.0})  # type: ignore[arg-type] # both are numbers


def test_it_accepts() -> None:
    """With no handle on its listener a process would serve nobody."""
    with pytest.raises(ValueError, match="accepts_at_once"):
        ProcessOptions(accepts_at_once=0)
