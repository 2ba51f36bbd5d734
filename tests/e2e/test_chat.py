"""``agent-service chat`` as a person and as a pipe use it."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Service, Simulator

SETSID = shutil.which("setsid") or "setsid"
CHAT = [sys.executable, "-m", "agent_service", "chat"]


def _chat(*arguments: str, folder: Path, said: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "USER": "ada", **environ}
    return subprocess.run(
        [*CHAT, *arguments],
        input=said,
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_one_question_is_one_answer_on_standard_output(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """A script gets the answer alone, and the conversation has the turn."""
    service = serve(**simulator.settings())

    asked = _chat("--url", service.url(), "--user", "ada", "What is 17 * 23?", folder=tmp_path)

    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "391\n", "")
    turns = service.client.get("/api/v1/users/ada/history").json()["turns"]
    assert [turn["answer"] for turn in turns] == ["391"]


def test_without_an_address_a_service_is_started_meanwhile(tmp_path: Path) -> None:
    """A laptop needs one command; the next chat goes on with the conversation, and nothing stays behind."""
    first = _chat("What is 2+2?", folder=tmp_path)
    second = _chat(folder=tmp_path, said="What did I ask before?\n")

    assert (first.returncode, first.stdout.strip()) == (0, "4"), first.stderr
    assert "What is 2+2?" in second.stdout
    folders = {process.info["cwd"] for process in psutil.process_iter(["cwd"])}
    assert str(tmp_path) not in folders


def test_what_fails_is_one_line_and_a_status(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """No traceback for a wrong address, a wrong program, or a model that fails."""
    service = serve(**simulator.settings(AGENT_MAX_RETRIES="0"))
    simulator.behave(faults=[{"kind": "500"}])

    nowhere = _chat("--url", "http://127.0.0.1:9", "hello", folder=tmp_path)
    wrong = _chat("hello", folder=tmp_path, AGENT_PROGRAM="no_such:thing")
    failed = _chat("--url", service.url(), folder=tmp_path, said="one\ntwo\n")

    assert (nowhere.returncode, nowhere.stderr) == (1, "Error: The service cannot be reached.\n")
    assert wrong.returncode == 1
    assert "no_such" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 2


def test_ctrl_c_stops_the_run(serve: Callable[..., Service], simulator: Simulator, tmp_path: Path) -> None:
    """The person does not want the answer any more, so nobody pays for it."""
    service = serve(**simulator.settings())
    simulator.behave(latency_seconds=30.0)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "USER": "ada"}
    with subprocess.Popen(
        [*CHAT, "--url", service.url(), "hello"], env=environ, cwd=tmp_path, stderr=subprocess.PIPE
    ) as chat:
        wait_until("the model is called", lambda: len(simulator.journal()) == 1)

        chat.send_signal(signal.SIGINT)

        assert chat.wait(timeout=30) == 130
        assert chat.stderr is not None
        assert b"Traceback" not in chat.stderr.read()
    wait_until("the run ends", lambda: service.metric('agent_errors_total{error="cancelled"}') == 1)


class Person:
    """Somebody at a terminal."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self.seen = ""
        self._terminal, inner = pty.openpty()
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "USER": "ada", "TERM": "dumb"}
        self.chat = subprocess.Popen(
            [SETSID, "--ctty", *CHAT, *arguments],  # so that Ctrl-C at this terminal is a signal to the chat
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environ,
            cwd=folder,
        )
        os.close(inner)

    def types(self, text: str) -> None:
        """Type at the prompt, once it is there."""
        self.sees(r"> $")
        self.presses(text)

    def presses(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def sees(self, pattern: str) -> None:
        """Wait until it is on the screen."""
        end = time.monotonic() + 20
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, self.seen
            if select.select([self._terminal], [], [], 0.2)[0]:
                self.seen += os.read(self._terminal, 4096).decode(errors="replace")

    def leave(self) -> None:
        self.chat.kill()
        self.chat.wait()
        os.close(self._terminal)


@pytest.fixture
def sit_down(tmp_path: Path) -> Iterator[Callable[..., Person]]:
    """Seats people at terminals."""
    people: list[Person] = []

    def sit(*arguments: str) -> Person:
        people.append(Person(*arguments, folder=tmp_path))
        return people[-1]

    yield sit
    for person in people:
        person.leave()


def test_a_person_sees_steps_stops_an_answer_and_goes_on(
    serve: Callable[..., Service], simulator: Simulator, sit_down: Callable[..., Person]
) -> None:
    """Tool steps, the answer and what it took; Ctrl-C ends the answer, not the chat; Ctrl-D ends the chat."""
    service = serve(**simulator.settings())
    person = sit_down("--url", service.url(), "--user", "ada")
    person.sees(r"default on openai/gpt-4o-mini")
    person.types("What is 17 * 23?\n")
    person.sees(r"✓ calculator\(expression=\"17 \* 23\"\)")
    person.sees(r"391\s")
    person.sees(r"1 step, \d+ tokens, openai/gpt-4o-mini")
    simulator.behave(latency_seconds=30.0)
    calls = len(simulator.journal())
    person.types("And now?\n")
    wait_until("the model is called", lambda: len(simulator.journal()) > calls)

    person.presses("\x03")

    person.sees("stopped")
    simulator.heal()
    person.types("/history\n")
    person.sees(r"What is 17 \* 23\?\s+391")
    person.types("\x04")
    assert person.chat.wait(timeout=30) == 0
