"""The pool under any sequence of events: never too many leases, nobody forgotten, everybody in turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from agent_service.core.clock import Deadline
from agent_service.core.errors import DeadlineExceededError, PoolExhaustedError, ShuttingDownError
from agent_service.core.pool import Lease, Pool, PoolOptions
from agent_service.testing import FakeClock

SIZE, QUEUE_LIMIT, WAIT_SECONDS, CAP = 3, 4, 2.0, 2
LEASES_TO_JUDGE_BY = 5
DEADLINES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0, 60.0])
DELAYS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5])


@dataclass(eq=False)
class Visitor:
    """Somebody who asked: in which order, for whom, until when, and whether they were told to leave."""

    number: int
    principal: str
    task: asyncio.Task[Lease]
    gives_up_at_seconds: float
    cancelled: bool = False
    released: bool = False

    def granted(self) -> bool:
        """Whether a lease was given."""
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    def exhausted(self) -> bool:
        """Whether there was no room."""
        return (
            self.task.done()
            and not self.task.cancelled()
            and isinstance(self.task.exception(), PoolExhaustedError)
        )


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
        self.pool = Pool(PoolOptions(SIZE, QUEUE_LIMIT, WAIT_SECONDS, CAP), clock=self.clock)
        self.all: list[Visitor] = []
        self.draining = False

    @property
    def waiting(self) -> list[Visitor]:
        """Those who wait for an answer."""
        return [visitor for visitor in self.all if not visitor.task.done()]

    @property
    def lent(self) -> Counter[str]:
        """Leases out, by principal."""
        return Counter(v.principal for v in self.all if v.granted() and not v.released)

    @rule(target=visitors, seconds=DEADLINES, principal=st.sampled_from("aab"))
    def come(self, seconds: float, principal: str) -> Visitor:
        """Somebody asks; the loop runs, so that they stand in the queue. Who must leave is foreseen."""
        self.turn()
        exhausted = {v for v in self.all if v.exhausted()}
        lease = self.pool.lease(Deadline.after(self.clock, seconds), principal=principal)
        patience_ends = self.clock.monotonic() + min(seconds, WAIT_SECONDS)
        visitor = Visitor(len(self.all), principal, self.loop.create_task(lease), patience_ends)
        in_line = [*self.waiting, visitor]
        self.all.append(visitor)
        self.turn()
        refused = {v for v in self.all if v.exhausted()} - exhausted
        lengths = Counter(v.principal for v in in_line)
        newest_of_longest = max(in_line, key=lambda v: (lengths[v.principal], v.number))
        too_long = len(in_line) > QUEUE_LIMIT and not visitor.granted() and seconds > 0 and not self.draining
        in_vain = refused == {visitor} and sum(v.released for v in self.all) >= LEASES_TO_JUDGE_BY
        assert in_vain or refused == ({newest_of_longest} if too_long else set())
        return visitor

    @rule(visitor=visitors)
    def finish_and_look(self, visitor: Visitor) -> None:
        """Somebody releases when all is quiet: the next one is of a principal with the fewest leases out."""
        self.turn()
        if not visitor.granted() or visitor.released:
            return
        before = {v for v in self.all if v.granted()}
        self.finish(visitor)
        lent = self.lent
        may_go = [v for v in self.waiting if lent[v.principal] < CAP]
        self.turn()
        granted = {v for v in self.all if v.granted()} - before
        assert len(granted) == bool(may_go)
        assert all(lent[v.principal] == min(lent[w.principal] for w in may_go) for v in granted)

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
        """No lost slot, no lost wake-up, nobody above the cap, nobody overtaken, nobody waits too long."""
        stats, waiting, lent = self.pool.stats, self.waiting, self.lent
        assert stats.in_use == lent.total()
        assert stats.waiting == len(waiting)
        assert all(leases <= CAP for leases in lent.values())
        assert all(stats.in_use == SIZE or lent[v.principal] == CAP for v in waiting)
        assert not (waiting and self.draining)
        for visitor in waiting:
            assert visitor.gives_up_at_seconds > self.clock.monotonic()
            assert not any(
                v.granted() and v.number > visitor.number and v.principal == visitor.principal
                for v in self.all
            )

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
