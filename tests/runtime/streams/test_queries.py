"""Queries that are followed, over a real runner."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.errors import PoolExhaustedError, UpstreamError
from agent_service.core.messages import Answer, ConversationId, Query
from agent_service.core.observer import QueryFinished, StreamCutOff, ToolStarted
from agent_service.core.pool import PoolOptions
from agent_service.runtime.streams.queries import FollowedQueries, FollowedQuery, StreamOptions
from tests.runtime.conftest import Service

if TYPE_CHECKING:
    from agent_service.core.errors import ServiceError
    from agent_service.core.observer import Observer
    from agent_service.core.run import Run
    from agent_service.core.stream_events import StreamEvent


class Presentation:
    """The last events, in short."""

    def answer(self, answer: Answer) -> str:
        return json.dumps({"answer": answer.text, "stored": answer.stored})

    def problem(self, error: ServiceError, request_id: str) -> str:
        return json.dumps({"error": error.code, "request_id": request_id})


def _followed(service: Service, **options: Any) -> FollowedQueries:
    return FollowedQueries(
        answering=service.runner,
        presentation=Presentation(),
        clock=service.clock,
        observer=service.observer,
        options=StreamOptions(**options),
    )


def _query(question: str = "Hi?", **more: Any) -> Query:
    return Query("r1", ConversationId("ada"), question, **more)


async def _all_of(source: FollowedQuery) -> list[StreamEvent]:
    events: list[StreamEvent] = []
    while not (events and events[-1].is_last):
        events += await source.take(15)
    return events


async def test_a_query_is_followed_to_its_answer(service: Service) -> None:
    """The steps as they happen, the answer's text, then the whole answer; the turn is stored as ever."""

    async def script(run: Run) -> str:
        run.emit(ToolStarted(run.request_id, "look_up", 1, {"name": "x"}))
        return "Found."

    service.script = script
    events = await _all_of(await _followed(service).follow(_query(), goes_on=False))

    assert [event.kind for event in events] == ["run.started", "tool.started", "answer.delta", "answer"]
    assert json.loads(events[-1].data) == {"answer": "Found.", "stored": True}
    assert await service.kept() == ["Hi?"]
    await service.assert_at_rest()


async def test_a_run_is_watched_only_while_it_is_followed(service: Service) -> None:
    """What only a follower needs is not made for anybody else."""
    watched: list[bool] = []

    async def script(run: Run) -> str:
        watched.append(run.is_watched)
        return "yes"

    service.script = script
    await _all_of(await _followed(service).follow(_query(), goes_on=False))
    await service.begin("two")

    assert watched == [True, False]


async def test_what_fails_before_the_first_event_is_raised() -> None:
    """The caller gets the status of a refusal, not a stream."""
    service = Service(pool=PoolOptions(size=1, queue_limit=0))
    await service.store.start()
    service.script = Service.hang
    first = await service.begun("first")

    with pytest.raises(PoolExhaustedError):
        await _followed(service).follow(_query(), goes_on=False)

    first.cancel()
    await service.settle()


async def test_a_conversation_that_moved_on_is_refused_before_the_first_event(service: Service) -> None:
    """``If-Match`` has its own status, as without a stream: the program has not begun."""
    with pytest.raises(Exception, match="last turn has seq 0"):
        await _followed(service).follow(_query(expected_seq=7), goes_on=False)
    await service.assert_at_rest()


async def test_what_fails_later_is_the_last_event(service: Service) -> None:
    """A status that was sent cannot be taken back, so the error is told as an event."""

    async def script(run: Run) -> str:
        raise UpstreamError

    service.script = script
    events = await _all_of(await _followed(service).follow(_query(), goes_on=False))

    assert [event.kind for event in events] == ["run.started", "error"]
    assert json.loads(events[-1].data) == {"error": "upstream_error", "request_id": "r1"}


async def test_a_reader_who_leaves_stops_the_run(service: Service) -> None:
    """Nothing goes on for nobody: the run ends as cancelled and its slot is free."""
    service.script = Service.hang
    source = await _followed(service).follow(_query(), goes_on=False)

    source.leave()
    await service.settle()

    assert [event.code for event in service.finished] == ["cancelled"]
    assert await service.kept() == []
    await service.assert_at_rest()


async def test_a_run_that_goes_on_outlives_its_reader(service: Service) -> None:
    """It is answered and stored; nothing is kept for the reader who left."""
    gate = asyncio.Event()

    async def script(run: Run) -> str:
        with run.interruptible():
            await gate.wait()
        return "done"

    service.script = script
    source = await _followed(service).follow(_query(), goes_on=True)
    source.leave()
    await service.settle()
    assert service.finished == []

    gate.set()
    await service.settle()
    assert [event.code for event in service.finished] == [None]
    assert await service.kept() == ["Hi?"]
    await service.assert_at_rest()


@pytest.mark.parametrize("goes_on", [True, False])
async def test_who_leaves_before_the_first_event_stops_the_run(service: Service, goes_on: bool) -> None:
    """Nobody was told that there is a run, so nobody could come back for it."""
    service.script = Service.hang
    await service.begun("before", user="ada")
    following = asyncio.create_task(_followed(service).follow(_query(), goes_on=goes_on))
    await service.settle()

    following.cancel()
    await service.settle()

    assert [event.request_id for event in service.observer.of(QueryFinished)] == ["r1"]
    service.runner.stop_all()
    await service.settle()


async def test_a_slow_reader_slows_nobody_else_and_is_cut_off(service: Service) -> None:
    """The run never waits for its reader; that one was cut off is told."""

    async def script(run: Run) -> str:
        for step in range(1, 1000):
            run.emit(ToolStarted(run.request_id, "look_up", step, {"text": "x" * 100}))
        return "done"

    service.script = script
    source = await _followed(service, buffer_bytes=10_000).follow(_query(), goes_on=True)
    await service.settle()

    assert source.cut_off.done()
    assert service.observer.of(StreamCutOff) == [StreamCutOff("r1")]
    assert [event.code for event in service.finished] == [None]


async def test_a_shutdown_is_told_to_streams(service: Service) -> None:
    """A stream in flight when the service stops ends with a typed event."""
    service.script = Service.hang
    followed = _followed(service)
    source = await followed.follow(_query(), goes_on=True)

    service.runner.stop_all()
    await followed.ended(within_seconds=1.0)

    assert json.loads((await _all_of(source))[-1].data)["error"] == "shutting_down"
    await service.assert_at_rest()


async def test_waiting_for_the_ends_has_an_end(service: Service) -> None:
    """A stream that does not end holds nothing up for longer than it is given."""

    class Never:
        async def answer(self, query: Query, listener: Observer | None = None) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError

    followed = FollowedQueries(
        answering=Never(),
        presentation=Presentation(),
        clock=service.clock,
        observer=service.observer,
        options=StreamOptions(),
    )
    following = asyncio.create_task(followed.follow(_query(), goes_on=True))
    await service.settle()
    ended = asyncio.create_task(followed.ended(within_seconds=1.0))
    await service.settle()
    assert not ended.done()

    service.clock.advance(1.0)
    await ended
    following.cancel()
    await service.settle()


def test_a_buffer_of_nothing_is_refused() -> None:
    """Nobody could read from it."""
    with pytest.raises(ValueError, match="buffer_bytes"):
        StreamOptions(buffer_bytes=0)


@pytest.mark.parametrize("is_kept", [True, False])
async def test_events_are_kept_of_queries_that_are(service: Service, is_kept: bool) -> None:
    """What a caller wants stored nowhere is in no stream that can be read again."""
    kept: list[StreamEvent] = []
    followed = FollowedQueries(
        answering=service.runner,
        presentation=Presentation(),
        clock=service.clock,
        observer=service.observer,
        options=StreamOptions(),
        keep=lambda _: kept.append,
    )

    events = await _all_of(await followed.follow(_query(is_kept=is_kept), goes_on=False))

    assert kept == (events if is_kept else [])
