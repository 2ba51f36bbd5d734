"""From an import string to a module; what cannot be served is refused in words for the operator."""

from __future__ import annotations

import io
import itertools
import re
import sys
from typing import TYPE_CHECKING

import dspy
import pytest

from agent_service.programs.loader import LoadError, load_module, load_tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = """
import dspy

class Needy(dspy.Module):
    def __init__(self, depth):
        super().__init__()

class Kind(dspy.Module):
    def __init__(self, depth=3, *rest, **options):
        super().__init__()
        self.depth = depth
    def forward(self, question): ...

class Idle(dspy.Module):
    def __init__(self):
        self.inner = dspy.Predict("question -> answer")
    def turn(self): ...

class Nest:
    inner = dspy.Predict("question -> answer")

instance = dspy.Predict("question -> answer")
number = 7
def factory(): return dspy.ChainOfThought("question -> answer")
def needy(key): return instance
def tooled(tools): return dspy.ReAct("question -> answer", tools=tools)
def frugal(tools=()): return dspy.ReAct("question -> answer", tools=list(tools))
def wrong(): return "text"
class Record:
    def __init__(self, name): ...
def broken(): raise RuntimeError("no database")
def leaving(): raise SystemExit(3)
async def later(): return dspy.Predict("question -> answer")
async def late(): raise RuntimeError("no database")
class Sign(dspy.Signature):
    question = dspy.InputField()
    answer = dspy.OutputField()
def look_up(word: str) -> str: return word
def unreadable(x: "Nowhere"): return x
tool = dspy.Tool(look_up, name="other")
"""
_names = (f"served_{number}" for number in itertools.count())


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module into the working directory and gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(source: str) -> str:
        name = next(_names)
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return name

    return write


def test_an_instance_a_class_and_a_factory(module: Callable[[str], str]) -> None:
    """All three ways to name a program; the working directory is looked into without installing anything."""
    name = module(SOURCE)
    assert isinstance(load_module(f"{name}:instance"), dspy.Predict)
    assert load_module(f"{name}:instance") is load_module(f"{name}:instance")
    assert load_module(f"{name}:Kind").depth == 3
    assert isinstance(load_module(f"{name}:factory"), dspy.ChainOfThought)
    assert isinstance(load_module(f"{name}:later"), dspy.Predict)
    assert isinstance(load_module(f"{name}:Nest.inner"), dspy.Predict)


def test_a_factory_that_asks_for_tools_is_given_them(module: Callable[[str], str]) -> None:
    """One whose tools have a default does without."""
    name = module(SOURCE)
    tools = [dspy.Tool(lambda word: word, name="look_up", args={"word": {"type": "string"}})]
    assert list(load_module(f"{name}:tooled", tools=tools).tools) == ["look_up", "finish"]
    assert list(load_module(f"{name}:tooled").tools) == ["finish"]
    assert list(load_module(f"{name}:frugal", tools=tools).tools) == ["finish"]


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("number", "is a int, not a dspy.Module"),
        ("absent", "has no attribute absent"),
        ("Nest.absent", "has no attribute Nest.absent"),
        ("Needy", "needs arguments (depth)"),
        ("needy", "needs arguments (key)"),
        ("wrong", "made a str, not a dspy.Module; there is Idle, Kind, Needy, instance"),
        ("Record", "is the class Record, not a dspy.Module"),
        ("Record", "; there is Idle, Kind, Needy, instance"),
        ("Idle", "has no forward, which is what a query calls: give Idle one, or serve "),
        ("Idle", ":Idle.inner"),
        ("broken", "failed: RuntimeError: no database"),
        ("leaving", "failed: SystemExit: 3"),
        ("late", "failed: RuntimeError: no database"),
        ("Sign", "serve dspy.Predict(Sign)"),
        ("dspy", "name what is in it"),
        ("absent", "there is Idle, Kind, Needy, instance"),
    ],
)
def test_what_cannot_be_served_is_refused(module: Callable[[str], str], attribute: str, says: str) -> None:
    """The message names the path and what is wrong with it."""
    name = module(SOURCE)
    with pytest.raises(LoadError) as refused:
        load_module(f"{name}:{attribute}")
    assert says in str(refused.value)
    assert name in str(refused.value)


def test_what_runs_code_without_a_sandbox_is_refused(
    module: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start and with what to install, instead of at each query; not where there is another sandbox."""
    name = module(
        "import dspy\nclass Own(dspy.PythonInterpreter): ...\n"
        "program = dspy.RLM('question -> answer')\n"
        "other = dspy.RLM('question -> answer', interpreter_factory=Own)"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadError, match=r'needs Deno: pip install "dspy\[deno\]"'):
        load_module(f"{name}:program")
    assert isinstance(load_module(f"{name}:other"), dspy.RLM)

    (tmp_path / "deno").touch(mode=0o700)
    assert isinstance(load_module(f"{name}:program"), dspy.RLM)


@pytest.mark.parametrize("path", ["", "module", "module:", ":attribute", "a/b.py"])
def test_a_path_of_another_form_is_refused(path: str) -> None:
    """The form is said, so that it can be mended."""
    with pytest.raises(LoadError, match=r"package\.module:attribute"):
        load_module(path)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import nothing_by_this_name", "ModuleNotFoundError"),
        ("this is no python", "SyntaxError"),
        ("raise KeyError('x')", "KeyError"),
        ("raise SystemExit('goodbye')", "SystemExit: goodbye"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(
    module: Callable[[str], str], source: str, says: str
) -> None:
    """Whatever its import raises becomes one message."""
    with pytest.raises(LoadError, match=f"cannot be imported: {says}"):
        load_module(f"{module(source)}:x")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import dspy\n\nx = 1 / 0", "x = 1 / 0"),
        ("import dspy\nx =", "x ="),
        ("import json\nx = json.loads('{')", "x = json.loads('{')"),
    ],
)
def test_the_line_that_raised_is_shown(module: Callable[[str], str], source: str, line: str) -> None:
    """The last of the author's own, with file and number: a library's is of no use."""
    name = module(source)
    number = source.count("\n") + 1
    with pytest.raises(LoadError) as refused:
        load_module(f"{name}:x")
    assert re.search(rf"{name}\.py:{number}\n    {re.escape(line)}$", str(refused.value))


async def test_an_async_factory_may_be_awaited_beside_a_loop(module: Callable[[str], str]) -> None:
    """Whoever loads may be on a loop already."""
    assert isinstance(load_module(f"{module(SOURCE)}:later"), dspy.Predict)


@pytest.mark.parametrize(
    ("work", "does"),
    [
        ("raise dspy.LMError('no key')", "asks a language model"),
        ("input()", "reads from the terminal"),
        ("raise SystemExit", "ends the process"),
    ],
)
def test_a_script_s_own_work_is_told_apart_from_a_program_s_mistake(
    module: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, work: str, does: str
) -> None:
    """A notebook or script that asks its program at the end is told where to put that."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    name = module(f"import dspy\nprogram = dspy.Predict('question -> answer')\n{work}")
    with pytest.raises(LoadError) as refused:
        load_module(f"{name}:program")
    assert f'It {does} while it is imported: put that under `if __name__ == "__main__":`' in str(
        refused.value
    )


def test_tools(module: Callable[[str], str]) -> None:
    """A function, or a tool with a name of its own."""
    name = module(SOURCE)
    assert load_tool(f"{name}:look_up").name == "look_up"
    assert load_tool(f"{name}:tool").name == "other"


@pytest.mark.parametrize(("attribute", "says"), [("number", "is a int"), ("unreadable", "Nowhere")])
def test_what_is_no_tool_is_refused(module: Callable[[str], str], attribute: str, says: str) -> None:
    """A function whose arguments DSPy cannot describe stops the start, not the first query."""
    with pytest.raises(LoadError, match=says):
        load_tool(f"{module(SOURCE)}:{attribute}")
