"""``agent-service check`` as a developer runs it before a deployment."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import dspy
import pytest

from agent_service.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

MIXED = """\
import dspy


class Careful(dspy.Predict):
    pass


class Mixed(dspy.Module):
    def __init__(self):
        super().__init__()
        self.plan = dspy.ChainOfThought("question -> plan")
        self.answer = Careful("question, plan -> answer")

    def forward(self, question: str):
        return self.answer(question=question, plan=self.plan(question=question).plan)
"""

SORT = 'import dspy\nsort = dspy.Predict("text, limit: int -> label, score: float")\n'


def _check(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent_service", "check", *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _told(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    program, _ = done.stdout.split("\n\n")
    return {line[:14].strip(): line[14:] for line in program.splitlines()}


def _settings(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    assert done.returncode == 0, done.stderr
    heading, *rest = done.stdout.split("\n\n")[-1].splitlines()
    assert heading.startswith("settings")
    lines = [line[14:].split("  ") for line in (heading, *rest)]
    return {name: [part.strip() for part in parts if part] for name, *parts in lines}


def test_the_built_in_agent_is_described(tmp_path: Path) -> None:
    """Fields, tools and what is accelerated; no model is asked and nothing is left in the folder."""
    told = _told(_check(tmp_path))

    assert (told["program"], told["model"], told["outputs"]) == ("default", "offline", "answer: string")
    assert told["question"] == "goes to question, the answer is answer"
    assert "calculator" in told["tools"]
    assert "react" in told["accelerated"]
    assert "left to DSPy" not in told
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_to_dspy_is_named_with_its_reason(tmp_path: Path) -> None:
    """Somebody's own subclass is not replaced; whoever wonders why it is slow finds it here."""
    (tmp_path / "mine.py").write_text(MIXED, encoding="utf-8")

    done = _check(tmp_path, AGENT_PROGRAM="mine:Mixed")
    told = _told(done)

    assert "plan" in told["accelerated"]
    left = [line for line in done.stdout.splitlines() if line.startswith("left to DSPy")]
    assert any("answer" in line for line in left)


def test_the_fast_path_that_is_off_is_said_to_be(tmp_path: Path) -> None:
    """Nobody looks for what was switched off."""
    assert _told(_check(tmp_path, AGENT_FAST_PATH="off"))["accelerated"] == "nothing: AGENT_FAST_PATH is off"


def test_what_cannot_be_served_is_one_line_and_a_status(tmp_path: Path) -> None:
    """A pipeline stops before the deployment does."""
    missing = _check(tmp_path, AGENT_PROGRAM="no_such:thing")
    wrong = _check(tmp_path, SERVER_PORT="http")

    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no_such cannot be imported" in missing.stderr
    assert "Traceback" not in missing.stderr
    assert wrong.returncode == 2
    assert "SERVER_PORT" in wrong.stderr


def test_what_is_set_is_said_with_its_source(tmp_path: Path) -> None:
    """By column; what has its default is not there, and no secret is."""
    (tmp_path / ".env").write_text("AGENT_API_KEY=hidden\nAGENT_POOL_SIZE=9\nMEMORY_MAX_TURNS=7\n")
    (tmp_path / "other.py").write_text(SORT, encoding="utf-8")
    done = _check(tmp_path, "other:sort", AGENT_MODEL="offline", AGENT_POOL_SIZE="8")

    assert _settings(done) == {
        "AGENT_PROGRAM": ["other:sort", "command line"],
        "AGENT_POOL_SIZE": ["8", f"environment, instead of {tmp_path}/.env line 2"],
        "AGENT_MODEL": ["offline", "environment"],
        "AGENT_API_KEY": ["***", f"{tmp_path}/.env line 1"],
        "MEMORY_MAX_TURNS": ["7", f"{tmp_path}/.env line 3"],
    }
    assert "hidden" not in done.stdout
    ends = {line.rindex("  ") for line in done.stdout.split("\n\n")[-1].splitlines()}
    assert len(ends) == 1


def test_all_settings_are_said_on_demand(tmp_path: Path) -> None:
    """With the values in effect, also where they follow from others."""
    told = _settings(_check(tmp_path, "--all", AGENT_POOL_SIZE="8"))

    assert list(told) == [row.name for row in Settings.table()]
    assert told["AGENT_POOL_QUEUE"] == ["8", "default"]
    assert told["AGENT_TOOLS"] == ["the built-in tools", "default"]
    assert told["AGENT_POOL_SIZE"] == ["8", "environment"]


def test_each_of_several_programs_is_described(tmp_path: Path) -> None:
    """With the types of its fields, its state's version, and where it can be asked."""
    (tmp_path / "mine.py").write_text(MIXED, encoding="utf-8")
    saved = dspy.Predict("text, limit: int -> label, score: float")
    saved.save(str(tmp_path / "sort.json"))
    (tmp_path / "other.py").write_text(SORT, encoding="utf-8")

    done = _check(
        tmp_path,
        AGENT_PROGRAM="mixed=mine:Mixed,sort=other:sort",
        AGENT_PROGRAM_STATE="sort=sort.json",
    )

    assert done.returncode == 0, done.stderr
    first, second, _ = done.stdout.split("\n\n")
    assert "program       mixed" in first
    assert "program       sort" in second
    assert "inputs        text: string, limit: integer" in second
    assert "outputs       label: string, score: number" in second
    assert "of its saved state" in second
    assert "/api/v1/programs/sort/query only" in second


@pytest.mark.parametrize(
    ("program", "source", "says"),
    [
        ("mine:x", "import dspy\nx = 1 / 0", "mine.py:2\n    x = 1 / 0"),
        ("a=mine:x,b=mine:x", "import dspy\nx = dspy.Predict('a -> b')", "b: mine:x is served as a already"),
        ("mine:x", "import dspy\nx = dspy.Signature('a -> b')", "not a dspy.Module"),
        (
            "mine:x",
            "import dspy\nclass X(dspy.Module):\n  def forward(self, q): ...\nx = X()",
            "give its class a `signature`",
        ),
    ],
)
def test_what_cannot_be_served_is_said_with_what_to_do(
    tmp_path: Path, program: str, source: str, says: str
) -> None:
    """The line of the author's own, the program's name among several, and no traceback."""
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    done = _check(tmp_path, AGENT_PROGRAM=program)

    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_of_another_program_stops_the_start(tmp_path: Path) -> None:
    """Both sides' fields are shown."""
    (tmp_path / "other.py").write_text(SORT, encoding="utf-8")
    dspy.Predict("question -> answer").save(str(tmp_path / "state.json"))
    done = _check(tmp_path, AGENT_PROGRAM="other:sort", AGENT_PROGRAM_STATE="state.json")

    assert done.returncode == 1
    assert "Question:, Answer: in the file, Text:, Limit:, Label:, Score: in the program" in done.stderr
