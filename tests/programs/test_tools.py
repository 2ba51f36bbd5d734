"""The tool seam: events, steps, limits, stops; and a tool that is, to DSPy, the tool it was."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.observer import ToolFinished, ToolStarted
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.programs.context import current_run, running
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import SeamTool, ToolSeam, as_tool, observation
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import eventually, ticks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import dspy


@dataclass
class Bench:
    """A tool seam on the running loop, and a run."""

    seam: ToolSeam
    run: Run
    clock: FakeClock
    observer: RecordingObserver

    def tool(self, function: Callable[..., Any] | dspy.Tool, *, observing: bool = False) -> SeamTool:
        """A function at the seam."""
        return self.seam.take(as_tool(function), observing=observing)

    async def acall(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """One call by the run."""
        with running(self.run, None):
            return await self.tool(function).acall(**arguments)

    def outcomes(self) -> list[str]:
        """How the calls ended."""
        return [event.outcome for event in self.observer.of(ToolFinished)]


@pytest.fixture
async def at(clock: FakeClock) -> AsyncIterator[Bench]:
    """A seam with a limit of five seconds and two threads."""
    bridge, threads, observer = LoopBridge(), WorkThreads("tool", size=2), RecordingObserver()
    bridge.attach()
    seam = ToolSeam(threads=threads, bridge=bridge, timeout_seconds=5.0)
    run = Run(request_id="r1", deadline=Deadline.after(clock, 30), clock=clock, observer=observer)
    yield Bench(seam, run, clock, observer)
    threads.close()


def where() -> str:
    """Tell which thread runs this."""
    return threading.current_thread().name


async def awhere() -> str:
    """Tell the same, asynchronously."""
    return threading.current_thread().name


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


async def test_a_sync_tool_works_off_the_loop_and_an_async_one_on_it(at: Bench) -> None:
    """A tool that blocks must not stop everybody else's queries."""
    assert (await at.acall(where)).startswith("tool")
    assert await at.acall(awhere) == threading.current_thread().name


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


async def test_a_slow_tool_is_left_and_its_thread_held_for(at: Bench) -> None:
    """Past its limit a call ends with an observation; the thread cannot be ended, so the slot stays taken."""
    go = threading.Event()

    def slow() -> bool:
        return go.wait(10)

    with running(at.run, None):
        task = asyncio.create_task(at.tool(slow, observing=True).acall())
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.clock.advance(5.0)

    assert await task == "Execution error in slow: TimeoutError: it took longer than 5 seconds"
    assert at.outcomes() == ["timeout"]
    assert not at.run.is_settled
    go.set()
    await asyncio.wait_for(at.run.settled(), 5)


async def test_a_slow_async_tool_is_cancelled(at: Bench) -> None:
    """What can be interrupted is."""
    cancelled: list[bool] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    task = asyncio.create_task(at.acall(slow))
    await ticks()
    at.clock.advance(5.0)
    with pytest.raises(TimeoutError):
        await task
    assert cancelled == [True]
    assert at.run.is_settled


async def test_a_timeout_of_the_tool_s_own_is_an_error(at: Bench) -> None:
    """Only our limit counts as ours."""

    async def fail() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await at.acall(fail)
    assert at.outcomes() == ["error"]


async def test_a_stopped_run_calls_no_tool(at: Bench) -> None:
    """After a stop nothing begins: no step, no event; and no agent can handle it as an observation."""
    at.run.stop(StopReason.CALLER_LEFT)
    with running(at.run, None):
        with pytest.raises(RunStoppedError):
            await at.tool(where, observing=True).acall()
        with pytest.raises(RunStoppedError):
            at.tool(where, observing=True)()
    assert at.observer.events == []
    assert at.run.reasoning_steps == 0


async def test_a_stop_during_the_call_ends_it(at: Bench) -> None:
    """An async tool is interrupted, the stop goes on up."""

    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(at.acall(hang))
    await ticks()
    at.run.stop(StopReason.SHUTDOWN)
    with pytest.raises(RunStoppedError):
        await task
    assert at.outcomes() == ["stopped"]


async def test_a_stop_leaves_a_thread_behind_and_holds_for_it(at: Bench) -> None:
    """The query ends at once, the slot when the tool does."""
    go = threading.Event()

    def slow() -> bool:
        return go.wait(10)

    task = asyncio.create_task(at.acall(slow))
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await task
    assert not at.run.is_settled
    go.set()
    await asyncio.wait_for(at.run.settled(), 5)


async def test_a_sync_program_in_a_thread_calls_by_way_of_the_loop(at: Bench) -> None:
    """Both kinds of tools work from there, under the same limits and with the same events."""
    with running(at.run, None):
        assert (await asyncio.to_thread(at.tool(where))).startswith("tool")
        assert await asyncio.to_thread(at.tool(awhere)) == threading.current_thread().name
    assert at.outcomes() == ["success", "success"]


async def test_a_stop_reaches_a_tool_that_a_thread_waits_for(at: Bench) -> None:
    """The stop is raised in the program's thread."""

    async def hang() -> None:
        await asyncio.Event().wait()

    with running(at.run, None):
        thread = asyncio.ensure_future(asyncio.to_thread(at.tool(hang, observing=True)))
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await thread


async def test_a_sync_call_on_the_loop_works_in_place(at: Bench) -> None:
    """Async code that calls a sync tool synchronously blocks the loop, as it asked to."""
    with running(at.run, None):
        assert at.tool(where)() == threading.current_thread().name
    assert at.outcomes() == ["success"]


async def test_tools_of_a_program_with_a_loop_of_its_own(at: Bench) -> None:
    """Async tools run on the loop that the program made, for what they hold belongs there."""

    async def on() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def program() -> bool:
        assert (await at.tool(where).acall()).startswith("tool")
        return await at.tool(on).acall() is asyncio.get_running_loop()

    with running(at.run, None):
        assert await asyncio.to_thread(lambda: asyncio.run(program()))
    assert at.outcomes() == ["success", "success"]
    assert at.run.is_settled


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_stop_reaches_tools_on_another_loop(at: Bench, asynchronous: bool) -> None:
    """The stop crosses the loops; a thread left behind is held for on the service's."""
    go = threading.Event()

    async def ahang() -> None:
        await asyncio.Event().wait()

    def hang() -> bool:
        return go.wait(10)

    async def program() -> None:
        await at.tool(ahang if asynchronous else hang).acall()

    with running(at.run, None):
        thread = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(program())))
    await eventually(lambda: at.observer.of(ToolStarted))
    await ticks()
    at.run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await thread
    assert at.run.is_settled is asynchronous
    go.set()
    await asyncio.wait_for(at.run.settled(), 5)


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
