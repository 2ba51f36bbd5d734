"""To DSPy a tool at the seam is the tool it was: the same prompts, the same arguments, the same uses."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any

import dspy
import pydantic
import pytest

from agent_service.programs.context import running
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam
from tests.programs.tools.conftest import awhere, where

if TYPE_CHECKING:
    from tests.programs.tools.conftest import Bench


class Place(pydantic.BaseModel):
    """Where."""

    city: str
    zip_code: str | None = None


def plain(x: int, y: str = "hello") -> str:
    """Say it x times.

    In several lines.
    """
    return y * x


def loose(first: str, **others: Any) -> str:
    """Take anything."""
    return f"{first} {sorted(others)}"


def modelled(place: Place, tags: list[str] | None = None) -> str:
    """Go there."""
    return f"{type(place).__name__} {place.city} {tags}"


class Counter:
    """Counts, as an object."""

    step: Undefined  # type: ignore[name-defined] # noqa: F821 - as with names that only a type checker sees

    def __call__(self, by: int = 1) -> int:
        """Count on."""
        return by + 1


def bare(x, y=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201 - tools without any hints are met too
    return x, y


TOOLS = [
    dspy.Tool(plain),
    dspy.Tool(loose),
    dspy.Tool(modelled),
    dspy.Tool(Counter(), name="counter"),
    dspy.Tool(bare),
    dspy.Tool(awhere),
    dspy.Tool(functools.partial(plain, 2), name="twice", desc="Say it twice."),
    dspy.Tool(plain, name="other", desc="Other words.", arg_desc={"x": "How often."}),
    dspy.Tool(plain, args={"z": {"type": "string"}}, arg_types={"z": str}),
]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: str(tool.name))
async def test_to_dspy_it_is_the_same_tool(at: Bench, tool: dspy.Tool) -> None:
    """Name, description, schema and text are the original's, so that every prompt is DSPy's own."""
    taken = at.tool(tool)
    assert isinstance(taken, dspy.Tool)
    assert str(taken) == str(tool)
    assert taken.format() == tool.format()
    assert taken.format_as_litellm_function_call() == tool.format_as_litellm_function_call()
    assert (taken.name, taken.desc, taken.args, taken.arg_types) == (
        tool.name,
        tool.desc,
        tool.args,
        tool.arg_types,
    )
    assert taken.has_kwargs == tool.has_kwargs
    assert inspect.iscoroutinefunction(taken.func) == inspect.iscoroutinefunction(tool.func)


async def test_an_agent_s_instructions_are_dspy_s_own(at: Bench) -> None:
    """ReAct with tools at the seam prompts exactly as it does without."""
    stock = dspy.ReAct("question -> answer", tools=TOOLS)
    served = dspy.ReAct("question -> answer", tools=[at.tool(tool, observing=True) for tool in TOOLS])
    assert served.react.signature.instructions == stock.react.signature.instructions
    assert str(served.react.signature) == str(stock.react.signature)


async def test_arguments_are_made_what_the_tool_declares(at: Bench) -> None:
    """DSPy's own checks and conversions apply, once."""
    assert await at.acall(modelled, place={"city": "Bonn"}, tags=["a"]) == "Place Bonn ['a']"
    assert await at.acall(loose, first="a", more=1) == "a ['more']"
    assert await at.acall(plain, x=2) == "hellohello"
    assert await at.acall(Counter(), by=4) == 5


async def test_the_bare_function_is_at_the_seam_too(at: Bench) -> None:
    """DSPy's ``ToolCall.execute`` and many programs call ``tool.func``: that is no way around."""
    calls = dspy.ToolCalls.from_dict_list([{"name": "plain", "args": {"x": 2}}])
    with running(at.run, None):
        assert calls.tool_calls[0].execute([at.tool(plain)]) == "hellohello"
        assert at.tool(plain).func(1, "you") == "you"
        assert await at.tool(awhere).func() == threading.current_thread().name
    assert at.run.tools_used == ("plain", "plain", "awhere")
    assert inspect.getsource(at.tool(plain).func) == inspect.getsource(plain)


async def test_a_tool_is_taken_once(at: Bench) -> None:
    """A tool that is at a seam already is counted once, and by the last seam that took it."""
    bridge, threads = LoopBridge(), WorkThreads("older", size=1)
    older = ToolSeam(threads=threads, bridge=bridge, timeout_seconds=1.0)
    twice = at.seam.take(older.take(dspy.Tool(where), observing=True), observing=False)
    with running(at.run, None):
        assert (await twice.acall()).startswith("tool")
    assert at.run.tools_used == ("where",)
    threads.close()


async def test_callbacks_on_tools_are_called(at: Bench) -> None:
    """A program's own instrumentation goes on working."""
    heard: list[str] = []

    class Ear(dspy.utils.BaseCallback):  # type: ignore[misc] # DSPy has no types
        def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            heard.append(instance.name)

    with running(at.run, None), dspy.context(callbacks=[Ear()]):
        await at.tool(where).acall()
        await at.tool(awhere).acall()
    assert heard == ["where", "awhere"]


class Answering:
    """In the place of a tool."""

    name = "answering"

    def __init__(self, tool: dspy.Tool) -> None:
        self.func = tool.func

    async def acall(self, **_: Any) -> Any:
        return "answered"

    def __call__(self, **_: Any) -> Any:
        return "answered"


@pytest.mark.parametrize("function", [where, awhere])
async def test_what_stands_for_the_tool_is_called_at_the_seam(at: Bench, function: Any) -> None:
    """Counted as every call is; also by a copy of either kind."""
    tool = at.tool(function)
    tool.call_by(Answering)
    with running(at.run, None):
        for called in (tool, copy.copy(tool), copy.deepcopy(tool)):
            assert await called.acall() == "answered"
            assert await asyncio.to_thread(called) == "answered"
    assert at.run.tools_used == ("answering",) * 6


async def test_a_deep_copy_stays_at_the_seam(at: Bench) -> None:
    """DSPy copies whole modules; the copy's calls are counted like the original's."""
    twin = copy.deepcopy(at.tool(awhere, observing=True))
    with running(at.run, None):
        await twin.acall()
    assert at.run.tools_used == ("awhere",)
