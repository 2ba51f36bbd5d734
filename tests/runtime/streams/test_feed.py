"""The feed: order, numbers, threads, and the text of the answer."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.messages import Usage
from agent_service.core.observer import (
    AnswerDelta,
    LMCallFinished,
    LMCallStarted,
    QueryFinished,
    RunStarted,
    ToolStarted,
)
from agent_service.runtime.streams.feed import PACE_SECONDS, EventFeed
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from agent_service.core.stream_events import StreamEvent

STARTED = RunStarted("r", "agent")


class Ear:
    """A feed and what its follower heard."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events: list[StreamEvent] = []
        self.feed = EventFeed(clock=self.clock, followers=[self.events.append])

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def text(self) -> str:
        """The deltas since the last reset."""
        text = ""
        for event in self.events:
            if event.kind == "answer.reset":
                text = ""
            elif event.kind == "answer.delta":
                text += json.loads(event.data)["text"]
        return text

    def says(self, text: str, *, reply: int = 1) -> None:
        self.feed.observe(AnswerDelta("r", reply, text))


@pytest.fixture
async def ear() -> Ear:
    """A feed that nobody told anything yet."""
    return Ear()


async def test_events_are_numbered_from_one_in_their_order(ear: Ear) -> None:
    """A reader can say where it was: ids have no gaps, and what followers are not told of has none."""
    ear.feed.observe(STARTED)
    ear.feed.observe(LMCallStarted("r", "m", 1))
    ear.feed.observe(LMCallFinished("r", "m", 1, "success", 0.0124, Usage(3, 4)))
    ear.feed.observe(QueryFinished("r", "u", "s", "p", "m", None, 0, (), Usage(), 0.0, stored=True))
    ear.feed.succeed("", '{"answer":""}')

    assert [(event.id, event.kind) for event in ear.events] == [
        (1, "run.started"),
        (2, "lm.started"),
        (3, "lm.finished"),
        (4, "answer"),
    ]
    assert json.loads(ear.events[2].data) == {
        "model": "m",
        "attempt": 1,
        "outcome": "success",
        "latency_ms": 12,
        "prompt_tokens": 3,
        "completion_tokens": 4,
    }
    assert ear.feed.begun.done()


async def test_events_of_threads_come_in_the_order_they_were_observed(ear: Ear) -> None:
    """A sync program's thread never waits for followers, and they are told on the loop, in order."""
    heard_on: list[threading.Thread] = []
    feed = EventFeed(
        clock=ear.clock,
        followers=[ear.events.append, lambda _: heard_on.append(threading.current_thread())],
    )

    def work() -> None:
        for number in range(100):
            feed.observe(ToolStarted("r", "look_up", number))

    await asyncio.to_thread(work)
    feed.observe(STARTED)

    assert [json.loads(event.data).get("step") for event in ear.events] == [*range(100), None]
    assert set(heard_on) == {threading.current_thread()}


async def test_nothing_comes_after_the_end(ear: Ear) -> None:
    """Threads may go on working when the run is over; the last event stays the last."""
    ear.feed.observe(STARTED)
    ear.feed.fail('{"error":"timeout"}')
    ear.feed.observe(ToolStarted("r", "late", 1))

    assert ear.kinds == ["run.started", "error"]
    assert ear.clock.pending == 0


async def test_deltas_are_paced(ear: Ear) -> None:
    """The first piece goes out at once, what follows closely goes together, nothing is left behind."""
    ear.says("a")
    ear.says("b")
    ear.says("c")
    assert ear.text == "a"

    ear.clock.advance(PACE_SECONDS)
    assert (ear.text, len(ear.events)) == ("abc", 2)

    ear.clock.advance(PACE_SECONDS)
    assert ear.clock.pending == 0
    ear.says("d")
    assert ear.text == "abcd"


async def test_a_step_does_not_overtake_text(ear: Ear) -> None:
    """Text that waits for its time goes out before the next step."""
    ear.says("a")
    ear.says("b")
    ear.feed.observe(STARTED)

    assert ear.kinds == ["answer.delta", "answer.delta", "run.started"]


async def test_a_later_reply_replaces_an_earlier_one(ear: Ear) -> None:
    """A program that asks its last predictor again begins the answer anew; the old text is void."""
    ear.says("draft")
    ear.says(" more", reply=1)
    ear.says("final", reply=2)
    ear.says("late", reply=1)
    ear.clock.advance(PACE_SECONDS)

    assert ear.text == "final"
    assert ear.kinds.count("answer.reset") == 1


async def test_an_answer_that_differs_from_the_deltas_is_put_right(ear: Ear) -> None:
    """A program may rework what its model said: the answer's text replaces it before the end."""
    ear.says("raw text")
    ear.feed.succeed("Reworked.", "{}")

    assert ear.kinds == ["answer.delta", "answer.reset", "answer.delta", "answer"]
    assert ear.text == "Reworked."


async def test_halves_of_surrogate_pairs_are_what_the_answer_has(ear: Ear) -> None:
    """UTF-8 cannot hold them; the deltas have the same question mark as the stored answer."""
    ear.says("half \ud83d")
    ear.feed.succeed("half ?", "{}")

    assert ear.kinds == ["answer.delta", "answer"]
    assert ear.text == "half ?"


@given(
    replies=st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=3),
    waits=st.lists(st.booleans(), max_size=12),
    answer=st.text(max_size=12, alphabet=st.characters(exclude_categories=["Cs"])),
)
async def test_the_deltas_are_always_the_answer(
    replies: list[list[str]], waits: list[bool], answer: str
) -> None:
    """Whatever was said before: the deltas since the last reset are the answer's text."""
    ear = Ear()
    pauses = iter(waits)
    for number, pieces in enumerate(replies, start=1):
        for piece in pieces:
            ear.says(piece, reply=number)
            if next(pauses, False):
                ear.clock.advance(PACE_SECONDS)
    ear.feed.succeed(answer, "{}")

    assert ear.text == answer
    assert ear.clock.pending == 0
    assert [event.id for event in ear.events] == list(range(1, len(ear.events) + 1))
