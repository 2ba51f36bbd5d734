"""The tool seam: events, steps, and what becomes of a failure."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.observer import ToolFinished, ToolStarted
from agent_service.programs.builtin_tools import calculator
from agent_service.programs.context import current_run, running
from agent_service.programs.tools import observation
from tests.programs.tools.conftest import awhere, where
from tests.traces import FakeTrace, within

if TYPE_CHECKING:
    from agent_service.core.run import Run
    from tests.programs.tools.conftest import Bench


async def test_a_call_is_told_and_counted(at: Bench) -> None:
    """Listeners hear begin and end with the step's number and time; the run counts the step."""

    async def look_up(word: str) -> str:
        at.clock.advance(0.5)
        return f"<{word}>"

    assert await at.acall(look_up, word="x") == "<x>"
    await at.acall(look_up, word="y")
    assert at.observer.events == [
        ToolStarted("r1", "look_up", 1),
        ToolFinished("r1", "look_up", 1, "success", 0.5),
        ToolStarted("r1", "look_up", 2),
        ToolFinished("r1", "look_up", 2, "success", 0.5),
    ]
    assert at.run.tools_used == ("look_up", "look_up")


@pytest.mark.parametrize("wants_content", [True, False])
async def test_a_trace_is_told_the_arguments_when_it_wants_them(at: Bench, wants_content: bool) -> None:
    """Shortened and masked as for those who follow the run; nobody else is told."""

    async def look_up(word: str, api_key: str) -> str:
        return word + api_key

    with within(FakeTrace(wants_content=wants_content)):
        await at.acall(look_up, word="x", api_key="y")
    (started,) = at.observer.of(ToolStarted)
    assert started.arguments == ({"word": "x", "api_key": "***"} if wants_content else None)


async def test_a_sync_tool_works_off_the_loop_and_an_async_one_on_it(at: Bench) -> None:
    """A tool that blocks must not stop everybody else's queries."""
    assert (await at.acall(where)).startswith("tool")
    assert await at.acall(awhere) == threading.current_thread().name


async def test_a_tool_that_is_known_to_be_brief_takes_no_thread(at: Bench) -> None:
    """The hand-over would cost many times the call; what wraps such a tool may block, and takes one."""
    at.seam._threads.close()  # noqa: SLF001 - no thread is to be had from now on
    assert await at.acall(calculator, expression="2+2") == "4"
    assert at.outcomes() == ["success"]
    with pytest.raises(RuntimeError, match="shutdown"):
        await at.acall(functools.wraps(calculator)(lambda expression: expression), expression="2+2")


async def test_what_only_turns_out_to_be_async_works_too(at: Bench) -> None:
    """A plain function around an async one cannot be told from a sync tool before it is called."""

    async def inner(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    def decorated(x: int) -> Any:
        """Add one."""
        return inner(x)

    assert await at.acall(decorated, x=1) == 2
    assert await at.acall(functools.partial(inner, x=4)) == 5


async def test_the_run_is_found_within_a_tool(at: Bench) -> None:
    """A tool that calls a model or another tool is at that run's seams."""
    seen: list[Run | None] = []

    def look() -> None:
        seen.append(current_run())

    async def alook() -> None:
        seen.append(current_run())

    await at.acall(look)
    await at.acall(alook)
    assert seen == [at.run, at.run]


async def test_a_failure_is_raised_to_an_owner_that_is_no_agent(at: Bench) -> None:
    """A program that calls its tools itself handles their errors itself."""

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await at.acall(fail)
    assert at.outcomes() == ["error"]


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_failure_is_an_observation_to_an_agent(at: Bench, asynchronous: bool) -> None:
    """An agent reads kind and message and may do better; no path, no traceback, no end of words."""

    def fail() -> None:
        raise OSError(2, "no such file", "/srv/secret/keys.txt")

    tool = at.tool(fail, observing=True)
    with running(at.run, None):
        told = await tool.acall() if asynchronous else await asyncio.to_thread(tool)
    assert told == "Execution error in fail: FileNotFoundError: [Errno 2] no such file: '[path]'"
    assert at.outcomes() == ["error"]


async def test_a_wrong_argument_is_an_observation_too(at: Bench) -> None:
    """Models make up arguments: the agent is told which one is wrong."""

    def double(x: int) -> int:
        return 2 * x

    with running(at.run, None):
        assert "Arg y is not in the tool's args" in await at.tool(double, observing=True).acall(y=1)
        assert "Arg x is invalid" in await at.tool(double, observing=True).acall(x="many")
        assert "TypeError" in await at.tool(double, observing=True).acall()


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_tool_that_wants_to_end_the_process_fails(at: Bench, asynchronous: bool) -> None:
    """Command-line code calls ``sys.exit``; the service goes on."""

    def leave() -> None:
        sys.exit(2)

    async def aleave() -> None:
        sys.exit(2)

    with pytest.raises(RuntimeError, match="end the process"):
        await at.acall(aleave if asynchronous else leave)
    assert at.outcomes() == ["error"]


async def test_outside_of_any_run_a_tool_is_just_a_tool(at: Bench) -> None:
    """A warm-up is no query: nothing is counted."""
    assert await at.tool(awhere).acall() == at.tool(where)()
    assert at.observer.events == []


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("cannot open /srv/app/main.py", "cannot open [path]"),
        ("cannot open '/srv/app/a b/main.py'", "cannot open '[path] b/main.py'"),
        ("in C:\\Users\\me\\x.py:12", "in [path]:12"),
        ("see file:///etc/passwd", "see [path]"),
        ("see ~/.ssh/id_rsa", "see ~[path]"),
        ("GET https://api.example.com/v1/x failed", "GET https://api.example.com/v1/x failed"),
        ("on 2024/01/02 at 60 km/h or 3/4/5", "on 2024/01/02 at 60 km/h or 3/4/5"),
        ("use UTC or Europe/Berlin", "use UTC or Europe/Berlin"),
        ("and/or", "and/or"),
        ("x" * 600, "x" * 500 + " ..."),
    ],
)
def test_an_observation_holds_no_path(message: str, told: str) -> None:
    """Paths of our machine are hidden; addresses, dates and names with slashes are what an agent needs."""
    assert observation("t", ValueError(message)) == f"Execution error in t: ValueError: {told}"
