"""The pool under any sequence of events: never too many leases, nobody forgotten, nobody overtaken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from agent_service.core.clock import Deadline
from agent_service.core.errors import DeadlineExceededError, PoolExhaustedError, ShuttingDownError
from agent_service.core.pool import Lease, Pool, PoolOptions
from agent_service.testing import FakeClock

SIZE, QUEUE_LIMIT, WAIT_SECONDS = 2, 3, 2.0
DEADLINES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0, 60.0])
DELAYS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5])


@dataclass(eq=False)
class Visitor:
    """Somebody who asked: in which order, until when, and whether they were told to leave."""

    number: int
    task: asyncio.Task[Lease]
    gives_up_at_seconds: float
    cancelled: bool = False
    released: bool = False

    def granted(self) -> bool:
        """Whether a lease was given."""
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None


async def several_turns() -> None:
    """More turns of the loop than any wake-up needs."""
    for _ in range(6):
        await asyncio.sleep(0)


class PoolMachine(RuleBasedStateMachine):
    """Visitors come, leave, wait too long and are done, in one tick of the loop or in several."""

    visitors = Bundle("visitors")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.pool = Pool(PoolOptions(SIZE, QUEUE_LIMIT, WAIT_SECONDS), clock=self.clock)
        self.all: list[Visitor] = []
        self.draining = False

    @rule(target=visitors, seconds=DEADLINES)
    def come(self, seconds: float) -> Visitor:
        """Somebody asks; the loop runs, so that they stand in the queue."""
        task = self.loop.create_task(self.pool.lease(Deadline.after(self.clock, seconds)))
        patience_ends = self.clock.monotonic() + min(seconds, WAIT_SECONDS)
        visitor = Visitor(len(self.all), task, patience_ends)
        self.all.append(visitor)
        self.turn()
        return visitor

    @rule(visitor=visitors)
    def leave(self, visitor: Visitor) -> None:
        """Somebody is cancelled; the loop does not run yet."""
        visitor.cancelled = visitor.task.cancel() or visitor.cancelled

    @rule(visitor=visitors)
    def finish(self, visitor: Visitor) -> None:
        """Somebody releases, perhaps again; the loop does not run yet."""
        if visitor.granted():
            visitor.released = True
            visitor.task.result().release()

    @rule(giving=visitors, leaving=visitors)
    def finish_and_leave(self, giving: Visitor, leaving: Visitor) -> None:
        """A release and a cancellation in one tick."""
        self.finish(giving)
        self.leave(leaving)

    @rule(seconds=DELAYS)
    def wait(self, seconds: float) -> None:
        """Time passes and timers fire; the loop does not run yet."""
        self.clock.advance(seconds)

    @rule()
    def turn(self) -> None:
        """The loop runs until nothing is left to do; then the books must agree."""
        self.loop.run_until_complete(several_turns())
        self.the_pool_agrees_with_its_visitors()
        self.everybody_ended_in_one_of_the_known_ways()

    @precondition(lambda self: len(self.all) > 8)
    @rule()
    def drain(self) -> None:
        """The process begins to stop."""
        self.pool.drain()
        self.draining = True

    @rule(visitor=consumes(visitors))
    def forget(self, visitor: Visitor) -> None:
        """A visitor's lease, if any, is released by its block."""
        if visitor.granted():
            visitor.released = True
            with visitor.task.result():
                pass

    @invariant()
    def bounds_hold(self) -> None:
        """At any moment, also between two turns of the loop."""
        stats = self.pool.stats
        assert 0 <= stats.in_use <= SIZE
        assert 0 <= stats.waiting <= QUEUE_LIMIT

    def the_pool_agrees_with_its_visitors(self) -> None:
        """No lost slot, no lost wake-up, nobody overtaken, nobody waits too long."""
        stats = self.pool.stats
        holding = [v for v in self.all if v.granted() and not v.released]
        waiting = [v for v in self.all if not v.task.done()]
        assert stats.in_use == len(holding)
        assert stats.waiting == len(waiting)
        assert not waiting or (stats.in_use == SIZE and not self.draining)
        last_granted = max((v.number for v in self.all if v.granted()), default=-1)
        assert all(v.number > last_granted for v in waiting)
        assert all(v.gives_up_at_seconds > self.clock.monotonic() for v in waiting)

    def everybody_ended_in_one_of_the_known_ways(self) -> None:
        """A lease, a typed refusal, or one's own cancellation; each refusal is counted once."""
        refused = 0
        for visitor in self.all:
            if visitor.task.cancelled():
                assert visitor.cancelled
            elif visitor.task.done() and (error := visitor.task.exception()):
                assert isinstance(error, (PoolExhaustedError, DeadlineExceededError, ShuttingDownError))
                refused += 1
        left_in_the_same_tick = sum(visitor.task.cancelled() for visitor in self.all)
        assert refused <= self.pool.stats.refused_total <= refused + left_in_the_same_tick

    def teardown(self) -> None:
        """When all have gone nothing is taken, and who waits for that is told."""
        self.turn()
        while not all(v.task.done() and (v.released or not v.granted()) for v in self.all):
            for visitor in self.all:
                self.leave(visitor)
                self.finish(visitor)
            self.turn()
        self.loop.run_until_complete(self.pool.idle())
        assert (self.pool.stats.in_use, self.pool.stats.waiting) == (0, 0)
        self.loop.close()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
