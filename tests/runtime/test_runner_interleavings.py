"""Many queries at once, in any order of coming, working, leaving, running late and shutting down."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_service.core.clock import sleep
from agent_service.core.errors import ServiceError
from agent_service.core.pool import PoolOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import Answer
    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]

SIZE, QUEUE_LIMIT, WAIT_SECONDS, LIMIT_SECONDS = 2, 2, 2.0, 8.0
STEP_SECONDS, LAST_STEP, FINAL_SECONDS = 0.5, 30, 60.0
STEPS = st.integers(0, LAST_STEP)
SHORT = st.sampled_from([0.0, 0.5, 1.0, 3.0])
LONG = st.sampled_from([0.0, 0.5, 1.5, 4.0, 12.0])


@dataclass(frozen=True)
class Plan:
    """One query: when it comes, how long each part of it takes, and when its caller leaves, if at all."""

    name: str
    comes_at: int
    leaves_at: int | None
    timeout_seconds: float | None
    read_seconds: float
    run_seconds: float
    heeds_stops: bool
    thread_seconds: float
    commit_seconds: float


@dataclass(frozen=True)
class Story:
    """Some queries, and when the service drains and is shut down, if it is."""

    plans: list[Plan]
    drains_at: int | None
    stops_at: int | None


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Between one and eight queries."""
    plans = [
        Plan(
            name=f"q{number}",
            comes_at=draw(st.integers(0, 8)),
            leaves_at=draw(st.none() | STEPS),
            timeout_seconds=draw(st.none() | st.sampled_from([0.5, 2.0, 5.0])),
            read_seconds=draw(SHORT),
            run_seconds=draw(LONG),
            heeds_stops=draw(st.booleans()),
            thread_seconds=draw(LONG),
            commit_seconds=draw(LONG),
        )
        for number in range(draw(st.integers(1, 8)))
    ]
    return Story(plans, drains_at=draw(st.none() | STEPS), stops_at=draw(st.none() | STEPS))


class Stage:
    """Plays a story on a service."""

    def __init__(self, service: Service, story: Story) -> None:
        self.service = service
        self.story = story
        self.plans = {plan.name: plan for plan in story.plans}
        self.asked: dict[str, asyncio.Task[Answer]] = {}
        self.committing: list[str] = []
        self.at_work: Counter[str] = Counter()
        self.most_at_work = 0
        service.script = self._work
        service.store.before_read = self._read
        service.store.before_commit = self._commit

    async def play(self) -> None:
        """Step by step to the end; then wait for whatever is left."""
        for step in range(LAST_STEP + 1):
            self._enter(step)
            await self.service.settle()
            self.service.clock.advance(STEP_SECONDS)
            await self.service.settle()
        for _ in range(int(FINAL_SECONDS / STEP_SECONDS)):
            self.service.clock.advance(STEP_SECONDS)
            await self.service.settle(8)

    def _enter(self, step: int) -> None:
        for plan in self.story.plans:
            if plan.comes_at == step:
                self.asked[plan.name] = self.service.begin(
                    plan.name, user=plan.name, timeout_seconds=plan.timeout_seconds
                )
            elif plan.leaves_at == step and plan.name in self.asked:
                self.asked[plan.name].cancel()
        if step == self.story.drains_at:
            self.service.runner.drain()
        if step == self.story.stops_at:
            self.service.runner.stop_all()

    async def _read(self, user: str) -> None:
        await sleep(self.service.clock, self.plans[user].read_seconds)

    async def _work(self, run: Run) -> str:
        plan = self.plans[run.request_id.removeprefix("r-")]
        thread = asyncio.ensure_future(self._count(plan.name, plan.thread_seconds))
        run.hold_for(thread)  # type: ignore[arg-type] # a Future is invariant in its result
        if plan.heeds_stops:
            with run.interruptible():
                await self._count(plan.name, plan.run_seconds)
        else:
            await self._count(plan.name, plan.run_seconds)
        return plan.name

    async def _count(self, name: str, seconds: float) -> None:
        self.at_work[name] += 1
        self.most_at_work = max(self.most_at_work, len(+self.at_work))
        try:
            await sleep(self.service.clock, seconds)
        finally:
            self.at_work[name] -= 1

    async def _commit(self, user: str) -> None:
        self.committing.append(user)
        await sleep(self.service.clock, self.plans[user].commit_seconds)

    async def assert_each_query_ended_once(self) -> None:
        """One end for the caller, the same in the record, in time, and a turn that was begun is stored."""
        ends = {end.request_id.removeprefix("r-"): end for end in self.service.finished}
        assert len(ends) == len(self.service.finished) == len(self.asked)
        for name, task in self.asked.items():
            limit_seconds = min(self.plans[name].timeout_seconds or LIMIT_SECONDS, LIMIT_SECONDS)
            assert ends[name].latency_seconds <= limit_seconds
            assert (ends[name].code, ends[name].stored) == told(task)
            kept = await self.service.kept(name)
            assert kept == self.committing.count(name) * [name]
            assert not kept or task.cancelled() or task.exception() is None
            assert kept or not ends[name].stored


def told(task: asyncio.Task[Answer]) -> tuple[str | None, bool]:
    """The caller's end as the record must have it."""
    if task.cancelled():
        return "cancelled", False
    error = task.exception()
    if error is None:
        return None, task.result().stored
    assert isinstance(error, ServiceError)
    return error.code, False


@settings(max_examples=120, deadline=None)
@given(story=stories())
def test_any_mix_of_queries_comes_to_rest(open_service: Open, story: Story) -> None:
    """Each query has one end, in time; kept is what was committed; slots bound the work; nothing is left."""

    async def play() -> None:
        service = await open_service(
            pool=PoolOptions(SIZE, QUEUE_LIMIT, WAIT_SECONDS), request_timeout_seconds=LIMIT_SECONDS
        )
        stage = Stage(service, story)
        await stage.play()
        await stage.assert_each_query_ended_once()
        assert stage.most_at_work <= SIZE
        await service.assert_at_rest()

    asyncio.run(play())
