"""The adaptive limit beside a plain model of its rules, under any sequence of events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from agent_service.core.adaptive_limit import AdaptiveLimit, LimitOptions, LimitPermit
from agent_service.testing import FakeClock

MAXIMUM, MINIMUM, FACTOR, SLOW_SECONDS = 6, 2, 0.7, 20.0
LATENCIES = st.sampled_from([0.5, SLOW_SECONDS, SLOW_SECONDS + 0.5])
RETRY_AFTERS = st.sampled_from([None, 0.0, 1.5, 4.0, 3600.0])
OUTCOMES = st.one_of(
    st.tuples(st.just("success"), LATENCIES),
    st.tuples(st.just("overloaded"), RETRY_AFTERS),
    st.tuples(st.just("ignore")),
)


@dataclass(eq=False)
class Caller:
    """Somebody who asked, and what became of it."""

    task: asyncio.Task[LimitPermit]
    round: int = -1
    reported: bool = False
    cancelled: bool = False

    def holds(self) -> bool:
        """Whether a permit was given."""
        return self.task.done() and not self.task.cancelled()


class AdaptiveLimitMachine(RuleBasedStateMachine):
    """Callers ask, leave and report in any order, in one tick or in several; time passes."""

    callers = Bundle("callers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        options = LimitOptions(MAXIMUM, MINIMUM, FACTOR, SLOW_SECONDS)
        self.limit = AdaptiveLimit(options, clock=self.clock)
        self.all: list[Caller] = []
        self.expected_limit = MAXIMUM
        self.round = 0
        self.paused_until_seconds = 0.0

    @property
    def held(self) -> list[Caller]:
        """Who has a permit and did not report."""
        return [caller for caller in self.all if caller.holds() and not caller.reported]

    @rule(target=callers)
    def ask(self) -> Caller:
        """Somebody asks; the loop runs, so that they have a permit or stand in line."""
        self.turn()
        free = self.is_free
        caller = Caller(self.loop.create_task(self.limit.acquire()))
        self.all.append(caller)
        self.turn()
        assert caller.holds() == free
        return caller

    @rule()
    def ask_without_waiting(self) -> None:
        """A permit only if there is room and nobody waits for it; it comes back at once."""
        self.turn()
        free = self.is_free
        permit = self.limit.try_acquire()
        assert (permit is not None) == free
        if permit is not None:
            permit.ignore()

    @rule(caller=callers, outcome=OUTCOMES)
    def report(self, caller: Caller, outcome: tuple[Any, ...]) -> None:
        """A call ends, perhaps again; the loop runs before, so that every permit is where it belongs."""
        self.turn()
        if not caller.holds():
            return
        if not caller.reported:
            self.foresee(caller, *outcome)
        getattr(caller.task.result(), outcome[0])(*outcome[1:])
        caller.reported = True

    def foresee(self, caller: Caller, kind: str, seconds: float | None = None) -> None:
        """The rules, said plainly."""
        overloaded = kind == "overloaded" or (kind == "success" and (seconds or 0) > SLOW_SECONDS)
        if kind == "overloaded":
            until_seconds = self.clock.monotonic() + min(seconds or 0.0, 60.0)
            self.paused_until_seconds = max(self.paused_until_seconds, until_seconds)
        if caller.round < self.round:
            return
        if overloaded:
            self.expected_limit = max(MINIMUM, int(self.expected_limit * FACTOR))
            self.round += 1
        elif kind == "success" and len(self.held) * 2 >= self.expected_limit:
            self.expected_limit = min(MAXIMUM, self.expected_limit + 1)

    @rule(caller=callers)
    def leave(self, caller: Caller) -> None:
        """Somebody is cancelled; the loop does not run yet."""
        caller.cancelled = caller.task.cancel() or caller.cancelled

    @rule(leaving=callers, reporting=callers)
    def report_and_leave(self, leaving: Caller, reporting: Caller) -> None:
        """A permit comes back and somebody is cancelled, in one tick."""
        self.report(reporting, ("ignore",))
        self.leave(leaving)

    @rule(seconds=st.sampled_from([0.5, 1.5, 4.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes and timers fire; the loop does not run yet."""
        self.clock.advance(seconds)

    @rule()
    def turn(self) -> None:
        """The loop runs until nothing is left to do; then everybody must be where the rules say."""
        self.loop.run_until_complete(several_turns())
        for caller in self.held:
            caller.round = self.round if caller.round < 0 else caller.round
        assert self.limit.in_flight == len(self.held)
        assert self.limit.waiting == len(self.waiting)
        assert not self.waiting or len(self.held) >= self.expected_limit or not self.pause_is_over
        assert all(caller.cancelled for caller in self.all if caller.task.cancelled())
        self.permits_went_in_order()

    def permits_went_in_order(self) -> None:
        """Nobody waits who came before somebody that has a permit."""
        waits = [not caller.task.done() for caller in self.all if not caller.task.cancelled()]
        assert waits == sorted(waits)

    @property
    def waiting(self) -> list[Caller]:
        """Who stands in line."""
        return [caller for caller in self.all if not caller.task.done()]

    @property
    def is_free(self) -> bool:
        """Whether one who comes now may go at once."""
        return len(self.held) < self.expected_limit and not self.waiting and self.pause_is_over

    @property
    def pause_is_over(self) -> bool:
        """Whether anything may be sent."""
        return self.clock.monotonic() >= self.paused_until_seconds

    @invariant()
    def the_limit_is_the_model_s(self) -> None:
        """At any moment, also between two turns of the loop; and never more goes than is allowed."""
        assert MINIMUM <= self.limit.limit == self.expected_limit <= MAXIMUM
        pause_seconds = max(0.0, self.paused_until_seconds - self.clock.monotonic())
        assert self.limit.pause_remaining_seconds == pause_seconds
        assert self.limit.in_flight <= MAXIMUM

    def teardown(self) -> None:
        """Under success alone it gets back to its maximum, and all who asked are served or gone."""
        self.turn()
        for _ in range(MAXIMUM):
            self.clock.advance(60.0)
            for _ in range(MAXIMUM):
                self.ask()
            for caller in self.held:
                self.report(caller, ("success", 0.5))
            self.turn()
        assert self.limit.limit == MAXIMUM
        while self.held or self.waiting:
            for caller in self.held:
                self.report(caller, ("ignore",))
            self.turn()
        assert self.clock.pending == 0
        self.loop.close()


async def several_turns() -> None:
    """More turns of the loop than any wake-up needs."""
    for _ in range(6):
        await asyncio.sleep(0)


TestAdaptiveLimitMachine = AdaptiveLimitMachine.TestCase
TestAdaptiveLimitMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
