"""Doubles of single parts: a clock that is moved by hand, a program with a script, an ear."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from agent_service.programs.base import LoadNumbers, ProgramReply, ProgramSpec, Upstream
from agent_service.programs.typed.interface import text_interface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from agent_service.core.errors import ServiceError
    from agent_service.core.messages import Turn
    from agent_service.core.observer import Event
    from agent_service.core.run import Run


class FakeTimer:
    """A scheduled call of a ``FakeClock``."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not make the call."""
        self._callback = None

    @property
    def is_pending(self) -> bool:
        """Whether the call is neither made nor cancelled."""
        return self._callback is not None

    def fire(self) -> None:
        """Make the call, unless cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class FakeClock:
    """A clock that stands still until ``advance`` is called."""

    def __init__(self, *, monotonic: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._order = itertools.count()
        self._timers: list[tuple[float, int, FakeTimer]] = []

    @property
    def pending(self) -> int:
        """How many calls are scheduled and not cancelled."""
        return sum(timer.is_pending for _, _, timer in self._timers)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._monotonic

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> FakeTimer:
        """Schedule; ``advance`` makes the call."""
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self._monotonic + delay_seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move both clocks forward and make the calls that fall due, in order."""
        end = self._monotonic + seconds
        while self._timers and self._timers[0][0] <= end:
            at, _, timer = heapq.heappop(self._timers)
            self._wall += max(0.0, at - self._monotonic)
            self._monotonic = max(self._monotonic, at)
            timer.fire()
        self._wall += end - self._monotonic
        self._monotonic = end

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does; monotonic time does not move."""
        self._wall += seconds


class RecordingObserver:
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class ScriptedProgram:
    """A program whose answers a test writes.

    Args:
        script: called for each query; its text is the answer, what it raises is raised.
        spec: other fields than ``question -> answer``.
    """

    def __init__(
        self,
        script: Callable[[Run, Mapping[str, Any], Sequence[Turn]], Awaitable[str]] | None = None,
        *,
        spec: ProgramSpec | None = None,
    ) -> None:
        self.spec = spec or ProgramSpec(
            name="scripted",
            model="scripted-model",
            inputs=("question",),
            outputs=("answer",),
            interface=text_interface(("question",), ("answer",)),
            question_input="question",
            answer_output="answer",
        )
        self.refused_with: ServiceError | None = None
        self.calls: list[tuple[Mapping[str, Any], tuple[Turn, ...]]] = []
        self.started = False
        self.closed = False
        self._script = script

    async def start(self) -> None:
        """Note the start."""
        self.started = True

    async def close(self) -> None:
        """Note the end."""
        self.closed = True

    def refusal(self) -> ServiceError | None:
        """What the test set as ``refused_with``."""
        return self.refused_with

    def upstreams(self) -> tuple[Upstream, ...]:
        """One that is well, unless the test refuses."""
        return (Upstream(self.spec.model, "open" if self.refused_with else "closed"),)

    def load(self) -> tuple[LoadNumbers, ...]:
        """None to speak of."""
        return ()

    def reset_upstreams(self) -> None:
        """Refuse no longer."""
        self.refused_with = None

    async def run(self, run: Run, inputs: Mapping[str, Any], conversation: Sequence[Turn]) -> ProgramReply:
        """Follow the script; without one, repeat the question."""
        self.calls.append((inputs, tuple(conversation)))
        question = str(inputs[self.spec.question_input or self.spec.inputs[0]])
        text = question if self._script is None else await self._script(run, inputs, conversation)
        output = self.spec.answer_output or self.spec.outputs[0]
        return ProgramReply(outputs={output: text}, model=self.spec.model)
