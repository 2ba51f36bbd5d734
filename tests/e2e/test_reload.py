"""``agent-service serve --reload`` as somebody uses it who edits the program meanwhile."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.processes import ServerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """\
import dspy


class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.never_asked = dspy.Predict("question -> answer")

    def forward(self, question: str):
        return dspy.Prediction(answer={answer!r})


{name} = Program()
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServerProcess]:
    (tmp_path / "mine.py").write_text(PROGRAM.format(answer="one", name="first"))
    environ = {
        "PATH": "/usr/bin:/bin",
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": "0",
        "LOG_FORMAT": "json",
        "AGENT_PROGRAM": "mine:first",
    }
    process = ServerProcess(["serve", "--reload"], environ=environ, folder=tmp_path)
    try:
        yield process
    finally:
        process.signal(signal.SIGTERM)
        process.status()
        process.close()


def _answer(process: ServerProcess) -> str:
    url = [line.partition("listening on ")[2].split('"')[0] for line in process.lines if "listening" in line]
    body = {"user_id": "ada", "question": "which?"}
    return str(httpx.post(f"{url[-1]}/api/v1/query", json=body, timeout=30).json()["answer"])


def test_an_edited_program_is_served_and_a_broken_one_is_told(served: ServerProcess, tmp_path: Path) -> None:
    """Each change starts the service again; a mistake stops nothing but itself."""
    served.url()
    assert _answer(served) == "one"

    (tmp_path / "mine.py").write_text("first = (\n")
    wait_until("the mistake is told", lambda: "SyntaxError" in served.output)
    (tmp_path / "mine.py").write_text(PROGRAM.format(answer="two", name="first"))
    wait_until("it listens again", lambda: served.output.count("listening on ") == 2)

    assert _answer(served) == "two"
