"""One side of a comparison: a module at the seams, a model with a script, and a record of all that shows."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import dspy
from dspy import lm15

from agent_service.core.clock import Deadline
from agent_service.core.retry import RetryOptions
from agent_service.core.run import Run, RunLimits
from agent_service.programs.base import LMOptions
from agent_service.programs.context import running
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.seams import SeamTaker
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import MODEL, make_seam, response
from tests.programs.fast.differential_describe import described, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_service.programs.lm.seam import LMSeam, Transport
    from tests.programs.fast.differential_case import Case

Twin = Callable[[dspy.Module], object]
Reply = Any
"""A text, a response, a function that makes either or raises, given the stage."""


@dataclass
class Record:
    """What a side did, by what it can be seen from."""

    outcomes: list[Any] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    traces: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    usage: list[Any] = field(default_factory=list)
    logs: list[Any] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)

    def in_any_order(self) -> Record:
        """For programs that do several things at once."""
        return Record(**{name: sorted(items, key=repr) for name, items in vars(self).items()})


class Model:
    """A language model with a script. As an engine it says what it can do; its calls are made elsewhere."""

    def __init__(self, stage: Stage, can: Mapping[str, Any]) -> None:
        self._stage = stage
        self.supports_function_calling = bool(can.get("tools"))
        self.supports_reasoning = bool(can.get("reasoning"))
        self.supports_response_schema = bool(can.get("schema"))
        self.supported_params = frozenset(can.get("params", ()))

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Nobody should."""
        raise AssertionError


class ModelTransport:
    """The way to the model, on which every request is noted."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Follow the script."""
        self._stage.record.requests.append(described(request))
        reply = self._stage.next_reply(request)
        while callable(reply):
            reply = reply(self._stage)
        if inspect.isawaitable(reply):
            reply = await reply
        answer: lm15.Response = response(reply) if isinstance(reply, str) else reply
        return answer

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class Rooms:
    """What the sides of a comparison share: threads and the way to the loop."""

    work: WorkThreads = field(default_factory=lambda: WorkThreads("program", size=4))
    tools: WorkThreads = field(default_factory=lambda: WorkThreads("tool", size=4))
    bridge: LoopBridge = field(default_factory=LoopBridge)

    def close(self) -> None:
        """End the threads."""
        self.work.close()
        self.tools.close()
        self.bridge.detach()


class Stage:
    """One side while it runs: what a case's functions are given."""

    def __init__(self, case: Case, *, twin: Twin | None, mode: str, rooms: Rooms) -> None:
        self.record = Record()
        self.run: Run | None = None
        self.mode = mode
        self.case = case
        self._twin = twin
        self._rooms = rooms
        self._clock = FakeClock()
        self._observer = RecordingObserver()
        self._upstreams = Upstreams(
            make_seam=self._make_seam, options=LMOptions(chosen=False), bridge=rooms.bridge
        )
        tools = ToolSeam(threads=rooms.tools, bridge=rooms.bridge, timeout_seconds=20.0)
        self._taker = SeamTaker(upstreams=self._upstreams, tools=tools)
        self._lm = self.lm(**case.lm)

    def lm(self, model: str = MODEL, **settings: Any) -> dspy.LM:
        """One more language model with the case's script, at the seam."""
        engine = Model(self, self.case.can)
        own = dspy.LM(model, engine=engine, async_engine=ModelTransport(self), **settings)
        return self._upstreams.take(own)

    def note(self, *what: Any) -> None:
        """Keep something that both sides are to agree on."""
        self.record.notes.append(described(what))

    def next_reply(self, request: lm15.Request) -> Reply:
        """What the script says to ``request``; past its end it repeats its last word."""
        replies = self.case.replies
        if callable(replies):
            return replies(request)
        return replies[min(len(self.record.requests), len(replies)) - 1]

    def take(self, module: dspy.Module) -> dspy.Module:
        """Bring a module to the seams; on the fast side, make it fast."""
        self._taker.take(module)
        self.accelerate(module)
        return module

    def accelerate(self, module: dspy.Module) -> None:
        """On the fast side, make it fast."""
        if self._twin is not None:
            self._twin(module)

    async def warm(self) -> None:
        """Let the LMs know what they can do."""
        await self._upstreams.warm()

    async def call(self, module: dspy.Module, /, *args: Any, **inputs: Any) -> Any:
        """One query, by the case's way of calling; notes how it ended and returns its prediction."""
        run = self.run = Run(
            request_id="r1",
            deadline=Deadline.after(self._clock, 30.0),
            clock=self._clock,
            observer=self._observer,
            limits=RunLimits(**self.case.limits),
        )
        settings = {"trace": [], **self.case.settings(self)}
        prediction = None
        with running(run, self._lm), dspy.context(**settings):
            try:
                prediction = await self._called(run, module, args, inputs)
            except BaseException as error:  # noqa: BLE001 - how a query ends is what is compared
                self.record.outcomes.append(("error", described(error)))
                del error
            else:
                self.record.outcomes.append(described(prediction))
        self.record.traces += [described(entry) for entry in settings["trace"] or ()]
        self.record.traces.append("end of the call")
        self.record.usage.append((run.usage, run.tools_used, run.answered_by, run.stop_reason))
        self.record.notes.append(("inputs after the call", described(inputs)))
        self.record.events += [_timeless(event) for event in self._observer.events]
        self._observer.events.clear()
        return prediction

    async def _called(self, run: Run, module: dspy.Module, args: Any, inputs: Any) -> Any:
        with run.interruptible():
            if self.mode == "async":
                return await module.acall(*args, **inputs)
            return await self._rooms.work.do(run, lambda: module(*args, **inputs))

    def _make_seam(self, model: str, transport: Transport) -> LMSeam:
        retry = RetryOptions(max_retries=0)
        return make_seam(model, transport, clock=self._clock, observer=self._observer, retry=retry)


async def played(case: Case, *, twin: Twin | None, mode: str, rooms: Rooms) -> Record:
    """Run one side of a case."""
    rooms.bridge.attach()
    stage = Stage(case, twin=twin, mode=mode, rooms=rooms)
    with _logged(stage.record):
        module = stage.take(case.make(stage))
        await stage.warm()
        if case.play is None:
            await stage.call(module, **copy.deepcopy(dict(case.inputs)))
        else:
            await case.play(stage, module)
    return stage.record.in_any_order() if case.unordered else stage.record


def _timeless(event: Any) -> Any:
    return replace(event, latency_seconds=0.0) if hasattr(event, "latency_seconds") else event


@contextmanager
def _logged(record: Record) -> Iterator[None]:
    """Within, what DSPy and the service log at warning and above is noted."""
    handler = _Noting(record)
    loggers = [logging.getLogger("dspy"), logging.getLogger("agent_service")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _Noting(logging.Handler):
    def __init__(self, record: Record) -> None:
        super().__init__(logging.WARNING)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        """Keep level, logger and text."""
        self._record.logs.append((record.name, record.levelname, plain_text(record.getMessage())))
