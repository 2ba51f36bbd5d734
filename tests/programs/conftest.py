"""A language model with a script, and programs served with it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15

from agent_service.core.adaptive_limit import AdaptiveLimit, LimitOptions
from agent_service.core.breaker import Breaker, BreakerOptions, BreakerState
from agent_service.core.clock import Clock, Deadline, SystemClock
from agent_service.core.retry import RetryOptions, RetryPolicy
from agent_service.core.run import Run
from agent_service.programs.base import LMOptions
from agent_service.programs.dspy_program import DspyProgram
from agent_service.programs.fields import fields_of
from agent_service.programs.lm.seam import LMSeam
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.seams import SeamTaker
from agent_service.programs.shared_parts import SharedParts
from agent_service.programs.specs import spec_of
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_service.core.messages import Turn
    from agent_service.core.observer import Observer
    from agent_service.programs.base import ProgramReply
    from agent_service.programs.lm.seam import Transport

# DSPy otherwise fetches its catalogue of models from the internet.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")

MODEL = "scripted"
Scenario = Callable[[Coroutine[Any, Any, None]], None]


def said(**fields: object) -> str:
    """A completion in the format of DSPy's ChatAdapter."""
    parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def response(text: str, **changes: Any) -> lm15.Response:
    """A whole answer of a model: ten tokens asked, five answered."""
    whole = lm15.Response(
        id="r",
        model=MODEL,
        message=lm15.Message.assistant(text),
        finish_reason="stop",
        usage=lm15.Usage(input_tokens=10, output_tokens=5),
    )
    return replace(whole, **changes)


class Hang:
    """In a script: the call does not return until ``let_go`` is called."""

    def __init__(self) -> None:
        self._go = asyncio.Event()

    def let_go(self) -> None:
        """The call returns an answer."""
        self._go.set()

    async def wait(self) -> None:
        """Wait for ``let_go``."""
        await self._go.wait()


class ScriptedTransport:
    """A language model that follows a script; past its end it repeats the last reply.

    A reply is a text, a response, an exception to raise, or a ``Hang``.
    """

    def __init__(self, *replies: str | lm15.Response | BaseException | Hang) -> None:
        self.requests: list[lm15.Request] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.cancelled = 0
        self.closed = False
        self.called = asyncio.Event()
        self.on_call: Callable[[], None] = lambda: None
        self._replies = deque(replies)

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Follow the script."""
        self.requests.append(request)
        self.loops.append(asyncio.get_running_loop())
        self.called.set()
        self.on_call()
        reply = self._replies.popleft() if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Hang):
            await self._hang(reply)
            reply = said(answer="late")
        if isinstance(reply, BaseException):
            raise reply
        return response(reply) if isinstance(reply, str) else reply

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True

    async def _hang(self, reply: Hang) -> None:
        try:
            await reply.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class NoSyncEngine:
    """The sync half of a scripted engine pair, which is never called."""

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Nobody should."""
        raise AssertionError


def scripted_lm(transport: ScriptedTransport, **settings: Any) -> dspy.LM:
    """An LM that brings its own engine."""
    return dspy.LM(MODEL, engine=NoSyncEngine(), async_engine=transport, **settings)


def make_seam(
    model: str,
    transport: Transport,
    *,
    clock: Clock,
    observer: Observer,
    breaker: BreakerOptions | None = None,
    retry: RetryOptions | None = None,
    call_timeout_seconds: float = 25.0,
) -> LMSeam:
    """A seam with a real breaker and a real retry policy; it does not retry unless told so."""

    def moved(before: BreakerState, after: BreakerState) -> None:
        """Nobody listens."""

    return LMSeam(
        model=model,
        transport=transport,
        breaker=Breaker(breaker or BreakerOptions(), clock=clock, random=Random(0), on_move=moved),
        limit=AdaptiveLimit(LimitOptions(), clock=clock),
        retry=RetryPolicy(retry or RetryOptions(max_retries=0), random=Random(0)),
        call_timeout_seconds=call_timeout_seconds,
        run_timeout_seconds=30.0,
        clock=clock,
        observer=observer,
    )


async def ticks(number: int = 20) -> None:
    """Let everything run that can run now."""
    for _ in range(number):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for a thread to bring ``condition`` about."""

    async def holds() -> None:
        while not condition():  # noqa: ASYNC110 - a thread has no way to set an asyncio.Event
            await asyncio.sleep(0.001)

    await asyncio.wait_for(holds(), 10)


class Program(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """A module of a test's own around one predictor."""

    def __init__(self, body: Callable[..., Any], signature: str = "question -> answer") -> None:
        super().__init__()
        self.answer = dspy.Predict(signature)
        self.body = body


class Sync(Program):
    """One that knows only ``forward``."""

    def forward(self, question: str) -> Any:
        """What the test says."""
        return self.body(self, question)


class Async(Program):
    """One that knows only ``aforward``."""

    async def aforward(self, question: str) -> Any:
        """What the test says."""
        return await self.body(self, question)


@dataclass
class Served:
    """A program at the seams, and all that a test looks at."""

    program: DspyProgram
    upstreams: Upstreams
    transport: ScriptedTransport
    observer: RecordingObserver
    clock: Clock
    seams: list[LMSeam] = field(default_factory=list)

    def new_run(self, seconds: float = 30.0) -> Run:
        """A query's run."""
        deadline = Deadline.after(self.clock, seconds)
        return Run(request_id="r1", deadline=deadline, clock=self.clock, observer=self.observer)

    async def ask(
        self,
        question: str = "What is 2+2?",
        *,
        run: Run | None = None,
        conversation: Sequence[Turn] = (),
        inputs: Mapping[str, Any] | None = None,
    ) -> ProgramReply:
        """One query."""
        name = self.program.spec.question_input or "question"
        arguments = {name: question, **(inputs or {})}
        return await self.program.run(run or self.new_run(), arguments, conversation)

    async def answer(self, question: str = "What is 2+2?") -> Any:
        """One query's plain answer."""
        reply = await self.ask(question)
        return reply.outputs[self.program.spec.answer_output or "answer"]


class Serving:
    """Serves modules as the composition root does, with a scripted LM as the default."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(
        self,
        module: dspy.Module,
        *replies: str | lm15.Response | BaseException | Hang,
        clock: Clock | None = None,
        breaker: BreakerOptions | None = None,
        retry: RetryOptions | None = None,
        tool_timeout_seconds: float = 20.0,
        threads: int = 8,
        lm_settings: Mapping[str, Any] | None = None,
    ) -> Served:
        """Take ``module`` to the seams and start it."""
        at, observer, bridge = clock or SystemClock(), RecordingObserver(), LoopBridge()
        transport = ScriptedTransport(*replies)
        seams: list[LMSeam] = []

        def make(model: str, way: Transport) -> LMSeam:
            seams.append(make_seam(model, way, clock=at, observer=observer, breaker=breaker, retry=retry))
            return seams[-1]

        upstreams = Upstreams(make_seam=make, options=LMOptions(chosen=False), bridge=bridge)
        work, tool_work = WorkThreads("program", size=threads), WorkThreads("tool", size=threads)
        tools = ToolSeam(threads=tool_work, bridge=bridge, timeout_seconds=tool_timeout_seconds)
        taker = SeamTaker(upstreams=upstreams, tools=tools)
        taker.take(module)
        lm = upstreams.configured(scripted_lm(transport, **(lm_settings or {})))
        fields = fields_of(module)
        program = DspyProgram(
            module,
            lm=lm,
            spec=spec_of("served", lm.model, fields, taker.tool_names),
            fields=fields,
            parts=SharedParts(upstreams=upstreams, threads=work, tool_threads=tool_work, bridge=bridge),
        )
        self._stack.push_async_callback(program.close)
        await program.start()
        return Served(program, upstreams, transport, observer, at, seams)


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    """Serves modules; closes them after the test."""
    async with AsyncExitStack() as stack:
        yield Serving(stack)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()
