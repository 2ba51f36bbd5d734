"""The seam from any thread and loop: calls meet on the service's loop, and a stop finds them there."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from typing import TYPE_CHECKING, Any

import dspy
import pytest
import uvloop
from dspy import lm15

from agent_service.core.clock import Deadline, SystemClock
from agent_service.core.observer import LMCallStarted
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.programs.context import running
from agent_service.programs.lm.chain import ModelChain
from agent_service.programs.lm.engines import AsyncSeamEngine, Sideline, SyncSeamEngine
from agent_service.programs.threads import LoopBridge
from agent_service.testing import RecordingObserver
from tests.programs.conftest import MODEL, Hang, ScriptedTransport, eventually, make_seam

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.programs.conftest import Scenario

REQUEST = lm15.Request(model=MODEL, messages=(lm15.Message.user("hello"),))


class Bench:
    """Both engines of one seam, attached to the running loop."""

    def __init__(self, *replies: str | Hang) -> None:
        self.observer, self.bridge, self.clock = RecordingObserver(), LoopBridge(), SystemClock()
        self.transport, self.sideline_transport = ScriptedTransport(*replies), ScriptedTransport(*replies)
        self.seam = make_seam(MODEL, self.transport, clock=self.clock, observer=self.observer)
        self.chain = ModelChain([self.seam])
        self.sideline = Sideline([lambda: self.sideline_transport])
        stock = dspy.LM("openai/gpt-4o-mini", cache=False)
        self.sync = SyncSeamEngine(self.chain, bridge=self.bridge, sideline=self.sideline, described_by=stock)
        self.asynchronous = AsyncSeamEngine(self.chain, bridge=self.bridge)
        self.bridge.attach()

    def run(self, seconds: float = 30.0) -> Run:
        """A query's run."""
        deadline = Deadline.after(self.clock, seconds)
        return Run(request_id="r1", deadline=deadline, clock=self.clock, observer=self.observer)

    def request_ids(self) -> list[str]:
        """Whose the calls were."""
        return [event.request_id for event in self.observer.of(LMCallStarted)]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """Runs a scenario on a loop of each make."""
    loop: asyncio.AbstractEventLoop = request.param()

    def go(scenario: Coroutine[Any, Any, None]) -> None:
        loop.run_until_complete(asyncio.wait_for(scenario, 20))

    yield go
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def in_thread(work: Callable[[], object]) -> asyncio.Future[object]:
    """``work`` in a thread that inherits the context, as the service's own threads do."""
    return asyncio.ensure_future(asyncio.to_thread(work))


def test_a_sync_call_from_a_thread_goes_by_the_service_s_loop(on_loop: Scenario) -> None:
    """The thread waits, the call is made on the loop with the run of the thread's context."""

    async def scenario() -> None:
        at = Bench("four")
        with running(at.run(), None):
            answer = await in_thread(lambda: at.sync.complete(REQUEST))
        assert isinstance(answer, lm15.Response)
        assert answer.text == "four"
        assert at.transport.loops == [asyncio.get_running_loop()]
        assert at.request_ids() == ["r1"]

    on_loop(scenario())


def test_a_stop_ends_a_call_that_a_thread_waits_for(on_loop: Scenario) -> None:
    """Threads cannot be interrupted, but what they wait for can: the stop is raised in the thread."""

    async def scenario() -> None:
        at = Bench(Hang())
        run = at.run()
        with running(run, None):
            thread = in_thread(lambda: at.sync.complete(REQUEST))
        await at.transport.called.wait()
        run.stop(StopReason.CALLER_LEFT)
        with pytest.raises(RunStoppedError):
            await thread
        assert at.transport.cancelled == 1

    on_loop(scenario())


def test_a_sync_call_on_the_service_s_loop_goes_by_the_sideline(on_loop: Scenario) -> None:
    """Async code that calls its LM synchronously blocks the loop and still gets its answer, with its run."""

    async def scenario() -> None:
        at = Bench("four")
        with running(at.run(), None):
            assert at.sync.complete(REQUEST).text == "four"
            assert at.sync.complete(REQUEST).text == "four"
        assert at.transport.requests == []
        assert len(set(at.sideline_transport.loops)) == 1
        assert at.sideline_transport.loops[0] is not asyncio.get_running_loop()
        assert at.request_ids() == ["r1", "r1"]
        await asyncio.to_thread(at.sideline.close)

    on_loop(scenario())


def test_the_deadline_ends_a_call_that_blocks_the_loop(on_loop: Scenario) -> None:
    """No timer of the blocked loop can fire, so the sideline's call is bounded by the deadline itself."""

    async def scenario() -> None:
        at = Bench(Hang())
        with running(at.run(seconds=0.05), None), pytest.raises(RunStoppedError):
            at.sync.complete(REQUEST)
        assert at.sideline_transport.cancelled == 1
        await asyncio.to_thread(at.sideline.close)

    on_loop(scenario())


def test_closing_the_sideline_ends_its_thread_and_loop(on_loop: Scenario) -> None:
    """Nothing of it is left: no thread, no open loop, no connection."""

    async def scenario() -> None:
        at, others = Bench("four"), set(threading.enumerate())
        at.sync.complete(REQUEST)
        (thread,) = [each for each in threading.enumerate() if each not in others]
        assert thread.name == "lm-sideline"
        await asyncio.to_thread(at.sideline.close)
        assert not thread.is_alive()
        assert at.sideline_transport.closed
        assert at.sideline_transport.loops[0].is_closed()

    on_loop(scenario())


def test_a_sideline_that_was_never_used_has_nothing_to_close() -> None:
    """No thread is started before it is needed."""

    def make() -> ScriptedTransport:
        raise AssertionError

    Sideline([make]).close()


def test_an_async_call_from_another_loop_goes_by_the_service_s(on_loop: Scenario) -> None:
    """``asyncio.run`` in a thread makes a second loop; connections and breaker live on the service's."""

    async def scenario() -> None:
        at = Bench("four")

        def another_loop() -> lm15.Response:
            return asyncio.run(at.asynchronous.complete(REQUEST))

        with running(at.run(), None):
            answer = await in_thread(another_loop)
        assert isinstance(answer, lm15.Response)
        assert at.transport.loops == [asyncio.get_running_loop()]
        assert at.request_ids() == ["r1"]

    on_loop(scenario())


def test_a_stop_ends_an_async_call_from_another_loop(on_loop: Scenario) -> None:
    """The stop crosses from the service's loop to the task that waits on another."""

    async def scenario() -> None:
        at = Bench(Hang())
        run = at.run()
        with running(run, None):
            thread = in_thread(lambda: asyncio.run(at.asynchronous.complete(REQUEST)))
        await at.transport.called.wait()
        run.stop(StopReason.SHUTDOWN)
        with pytest.raises(RunStoppedError):
            await thread
        assert at.transport.cancelled == 1

    on_loop(scenario())


def test_a_cancellation_on_another_loop_cancels_the_call(on_loop: Scenario) -> None:
    """A program's own timeout on its own loop frees the connection on the service's."""

    async def scenario() -> None:
        at = Bench(Hang())

        async def impatient() -> None:
            await asyncio.wait_for(at.asynchronous.complete(REQUEST), 0.05)

        with running(at.run(), None), pytest.raises(asyncio.TimeoutError):
            await in_thread(lambda: asyncio.run(impatient()))
        await eventually(lambda: at.transport.cancelled == 1)

    on_loop(scenario())


def test_an_async_call_on_the_service_s_loop_is_made_in_place(on_loop: Scenario) -> None:
    """The common case takes no detour."""

    async def scenario() -> None:
        at = Bench("four")
        with running(at.run(), None):
            assert (await at.asynchronous.complete(REQUEST)).text == "four"
        assert at.request_ids() == ["r1"]

    on_loop(scenario())


def test_a_call_before_the_start_says_so() -> None:
    """A program that calls its LM while it is imported learns why it cannot."""
    bridge = LoopBridge()
    with pytest.raises(RuntimeError, match="not running"):
        bridge.wait(asyncio.sleep(0))


async def test_capabilities_are_those_of_the_model() -> None:
    """DSPy chooses formats by what the model can do; a served one must not look poorer than it is."""
    at = Bench("four")
    before = at.sync.supports_function_calling
    at.sync.look_up_capabilities()
    assert (before, at.sync.supports_function_calling) == (False, True)
    assert at.sync.supports_response_schema
    assert "response_format" in at.sync.supported_params


async def test_the_other_tasks_of_the_loop_go_on_while_a_thread_waits() -> None:
    """A waiting thread costs the loop nothing."""
    hang = Hang()
    at = Bench(hang)
    thread = in_thread(lambda: at.sync.complete(REQUEST))
    await at.transport.called.wait()
    began = time.monotonic()
    await asyncio.sleep(0.01)
    assert time.monotonic() - began < 1
    hang.let_go()
    await thread


async def test_engines_are_shared_by_copies() -> None:
    """DSPy copies modules and LMs freely; the copy of an engine is the engine."""
    at = Bench("four")
    assert copy.deepcopy(at.sync) is at.sync
    assert copy.deepcopy(at.asynchronous) is at.asynchronous
