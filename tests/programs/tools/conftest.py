"""A tool seam on the running loop, and a run that calls through it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.observer import ToolFinished
from agent_service.core.run import Run
from agent_service.programs.context import running
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import SeamTool, ToolSeam, as_tool
from agent_service.testing import FakeClock, RecordingObserver

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
