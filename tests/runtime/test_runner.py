"""One query: the order of its steps, what the program sees, what the caller and the store get."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from agent_service.core.errors import (
    CircuitBreakerOpenError,
    ConflictError,
    MemoryUnavailableError,
    PoolExhaustedError,
    PreconditionFailedError,
    ShuttingDownError,
)
from agent_service.core.messages import Answer, ConversationId, Query, Usage
from agent_service.core.observer import QueryFinished, RunStarted
from agent_service.core.pool import PoolOptions
from agent_service.memory.in_memory import InMemoryStore
from agent_service.runtime.runner import Runner, RunnerOptions
from agent_service.runtime.turns import TurnOptions
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.run import Run
    from agent_service.programs.base import ProgramSpec
    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]

ADA = ConversationId("ada")


async def test_the_steps_come_in_their_order(service: Service) -> None:
    """A conversation is read before the program runs, the turn is stored before the caller is answered."""
    answer = await service.begin()

    assert service.journal == ["read", "run", "commit"]
    assert answer.stored
    assert await service.kept() == ["Hi?"]
    await service.assert_at_rest()


async def test_draining_is_said_before_anything_else(service: Service) -> None:
    """A process on its way out refuses for that reason, whatever else is wrong, and does no work."""
    service.program.refused_with = CircuitBreakerOpenError()
    service.runner.drain()

    with pytest.raises(ShuttingDownError) as refused:
        await service.begin()

    assert refused.value.retry_after_seconds == 1.0
    assert service.journal == []
    assert service.pool.stats.refused_total == 0


async def test_an_open_breaker_refuses_before_the_pool(
    open_service: Callable[..., Awaitable[Service]],
) -> None:
    """Nobody queues for a model that cannot be called."""
    service = await open_service(pool=PoolOptions(size=1))
    service.script = service.hang
    busy = await service.begun("busy")
    refusal = service.program.refused_with = CircuitBreakerOpenError(retry_after_seconds=7.0)

    with pytest.raises(CircuitBreakerOpenError) as refused:
        await service.begin()

    assert refused.value is refusal
    assert service.pool.stats.waiting == 0
    busy.cancel()
    await service.assert_at_rest()


async def test_without_a_slot_nothing_is_read(open_service: Callable[..., Awaitable[Service]]) -> None:
    """A refusal of the pool costs neither the store nor the program anything."""
    service = await open_service(pool=PoolOptions(size=1, queue_limit=0))
    service.script = service.hang
    busy = await service.begun("busy")

    with pytest.raises(PoolExhaustedError):
        await service.begin()

    assert service.journal == ["read", "run"]
    busy.cancel()
    await service.assert_at_rest()


async def test_the_answer_tells_what_it_took(service: Service) -> None:
    """Every field of an answer is what the run measured."""

    async def working(run: Run) -> str:
        run.count_tool_step("calculator")
        run.count_tool_step("clock")
        run.count_lm_call(Usage(10, 5, lm_calls=1))
        run.count_lm_call(Usage(20, 7, lm_calls=1))
        service.clock.advance(0.25)
        return "4"

    service.script = working
    query = Query("r1", ADA, "What is 2+2?")

    assert await service.runner.answer(query) == Answer(
        query=query,
        text="4",
        model="scripted-model",
        reasoning_steps=2,
        tools_used=("calculator", "clock"),
        usage=Usage(30, 12, lm_calls=2),
        latency_seconds=0.25,
        stored=True,
        seq=1,
        degraded=(),
        program_version="base",
    )


async def test_the_latency_holds_the_wait_for_a_slot(
    open_service: Callable[..., Awaitable[Service]],
) -> None:
    """What the caller waited is what is said, the queue included."""
    service = await open_service(pool=PoolOptions(size=1))
    release = asyncio.Event()

    async def until_released(run: Run) -> str:
        await release.wait()
        return "done"

    service.script = until_released
    first, second = await service.begun("first"), await service.begun("second")
    service.clock.advance(1.5)
    release.set()
    await first

    assert (await second).latency_seconds == 1.5


async def test_the_stored_turn_is_what_was_said(service: Service) -> None:
    """A turn holds question, answer, model, program and the wall clock's time; its id is its own."""
    await service.begin("one")
    await service.begin("two")

    first, second = (await InMemoryStore.read(service.store, ADA, last_turns=2)).turns
    turn = first.turn
    assert (turn.question, turn.answer) == ("one", "You said: one")
    assert (turn.model, turn.program) == ("scripted-model", "scripted")
    assert turn.at_epoch_seconds == service.clock.wall()
    assert turn.turn_id != second.turn.turn_id


async def test_the_program_sees_the_last_turns(open_service: Callable[..., Awaitable[Service]]) -> None:
    """It gets the plain question under its input's name and ``context_turns`` turns, oldest first."""
    service = await open_service(context_turns=2)
    for question in ("one", "two", "three", "four"):
        await service.begin(question)

    inputs, conversation = service.program.calls[-1]
    assert inputs == {"question": "four"}
    assert [turn.question for turn in conversation] == ["two", "three"]


async def test_a_turn_is_stored_on_the_sight_of_what_was_read(open_service: Open) -> None:
    """A turn that came between reading and storing shows in ``base_seq``; neither is lost."""
    service = await open_service(turns=TurnOptions("parallel"))
    await service.begin("one")

    async def slower_than_another(run: Run) -> str:
        service.script = None
        await service.begin("between")
        return "late"

    service.script = slower_than_another
    await service.begin("late")

    turns = (await InMemoryStore.read(service.store, ADA, last_turns=3)).turns
    assert [(stored.turn.question, stored.seq, stored.base_seq, stored.forked_from) for stored in turns] == [
        ("one", 1, 0, None),
        ("between", 2, 1, None),
        ("late", 3, 1, 1),
    ]


async def test_a_question_waits_until_the_turn_before_it_is_stored(service: Service) -> None:
    """The second question of a conversation sees the first one's turn, however late that is stored."""
    stored = asyncio.Event()

    async def until_stored(user: str) -> None:
        await stored.wait()

    service.store.before_commit = until_stored
    first, second = await service.begun("first"), await service.begun("second")
    assert service.journal == ["read", "run", "commit"]
    stored.set()

    assert ((await first).seq, (await second).seq) == (1, 2)
    assert [turn.question for turn in service.program.calls[1][1]] == ["first"]
    await service.assert_at_rest()


async def test_a_late_commit_keeps_the_turn(open_service: Open) -> None:
    """A caller that was told that its turn is not stored may find it later, but not another before it."""
    service = await open_service(turns=TurnOptions("reject"))
    stored = asyncio.Event()

    async def until_stored(user: str) -> None:
        await stored.wait()

    service.store.before_commit = until_stored
    asking = await service.begun("late")
    service.clock.advance(30.0)
    assert (await asking).seq is None
    with pytest.raises(ConflictError):
        await service.begin("refused")
    stored.set()
    await service.settle()

    assert (await service.begin("next")).seq == 2
    await service.assert_at_rest()


@pytest.mark.parametrize("expected_seq", [0, 2, 10**17])
async def test_a_conversation_that_is_not_where_the_caller_expects_costs_nothing(
    service: Service, expected_seq: int
) -> None:
    """Any other seq than the last one's is refused before the program runs; the error tells where it is."""
    await service.begin("one")
    with pytest.raises(PreconditionFailedError, match="seq 1"):
        await service.runner.answer(Query("r", ADA, "two", expected_seq=expected_seq))
    assert len(service.program.calls) == 1
    assert (await service.runner.answer(Query("r", ADA, "two", expected_seq=1))).seq == 2
    await service.assert_at_rest()


async def test_what_a_caller_expects_is_never_taken_on_trust(open_service: Open) -> None:
    """A conversation that cannot be read is not answered without memory when its seq is asked for."""
    service = await open_service(degrade_without_memory=True)
    await service.store.close()
    with pytest.raises(MemoryUnavailableError):
        await service.runner.answer(Query("r", ADA, "Hi?", expected_seq=0))
    assert (await service.runner.answer(Query("r", ADA, "Hi?"))).degraded == ("memory",)


@pytest.mark.parametrize(
    ("asked_seconds", "reserve_seconds", "expected_seconds"),
    [
        (None, 1.0, 29.0),
        (60.0, 1.0, 29.0),
        (20.0, 1.0, 19.0),
        (1.0, 1.0, 0.9),
        (None, 10.0, 27.0),
        (1.0, 0.0, 1.0),
    ],
)
async def test_the_program_s_deadline_is_the_smaller_limit_less_the_reserve(
    open_service: Callable[..., Awaitable[Service]],
    asked_seconds: float | None,
    reserve_seconds: float,
    expected_seconds: float,
) -> None:
    """A caller can shorten the service's limit only; for storing a tenth of it is kept at most."""
    service = await open_service(request_timeout_seconds=30.0, commit_reserve_seconds=reserve_seconds)
    remaining: list[float] = []

    async def looking(run: Run) -> str:
        remaining.append(run.deadline.remaining_seconds())
        return "seen"

    service.script = looking
    await service.begin(timeout_seconds=asked_seconds)

    assert remaining == [pytest.approx(expected_seconds)]


async def test_the_start_of_the_program_is_told(service: Service) -> None:
    """Whoever listens hears that a query was admitted."""
    await service.begin("one")
    assert service.observer.events[0] == RunStarted("r-one", "scripted")


class Typed(BaseModel):
    """An answer of a type, as DSPy's signatures may have."""

    name: str
    born: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4, "4"),
        (["a", 1], '["a", 1]'),
        (True, "true"),
        (Typed(name="Ada", born=1815), '{"name": "Ada", "born": 1815}'),
        ("half \ud83d of a pair", "half ? of a pair"),
        ("whole \U0001f600 pair\x00", "whole \U0001f600 pair\x00"),
    ],
)
async def test_an_answer_is_text_that_can_be_stored_and_sent(service: Service, value: Any, text: str) -> None:
    """Other types become JSON, and halves of surrogate pairs, which no encoding can carry, question marks."""

    async def saying(run: Run) -> Any:
        return value

    service.script = saying
    answer = await service.begin()

    assert answer.text == text
    assert json.dumps(answer.text, ensure_ascii=False).encode()
    assert (await InMemoryStore.read(service.store, ADA, last_turns=1)).turns[0].turn.answer == text


async def test_a_user_who_asks_much_does_not_keep_others_out(
    open_service: Callable[..., Awaitable[Service]],
) -> None:
    """A slot is leased in the user's name, whatever the session."""
    service = await open_service(pool=PoolOptions(size=2, per_principal=1))
    service.script = service.hang
    for question in ("one", "two"):
        await service.begun(question, user="ada")
    assert (service.pool.stats.in_use, service.pool.stats.waiting) == (1, 1)
    await service.begun("three", user="eve")
    assert (service.pool.stats.in_use, service.pool.stats.waiting) == (2, 1)


async def test_several_queries_run_at_once(service: Service) -> None:
    """One that hangs holds up no other conversation."""
    service.script = service.hang
    hanging = await service.begun("hanging")
    service.script = None

    assert (await service.begin("other", user="eve")).text == "You said: other"
    assert repr(service.runner) == "<Runner 1 in flight, 0 abandoned, <Pool 1/64 in use, 0 waiting>>"
    hanging.cancel()
    await service.assert_at_rest()


async def test_whoever_traces_a_query_hears_all_of_it_and_does_not_make_it_watched(service: Service) -> None:
    """Made where the query begins, told of the program's begin and of the query's end, beside the others."""
    begun, trace = [], RecordingObserver()

    async def working(run: Run) -> str:
        assert not run.is_watched
        return "done"

    def begin(query: Query, program: ProgramSpec) -> RecordingObserver:
        begun.append((query.question, program.name))
        return trace

    service.script = working
    runner = Runner(
        programs=service.programs,
        store=service.store,
        turns=service.turns,
        pool=service.pool,
        clock=service.clock,
        observer=service.observer,
        options=RunnerOptions(),
        trace=begin,
    )
    await runner.answer(Query("r1", ADA, "Hi?"))
    assert begun == [("Hi?", "scripted")]
    assert [type(event) for event in trace.events] == [RunStarted, QueryFinished]
    assert trace.events == service.observer.events


@pytest.mark.parametrize(
    "wrong",
    [
        {"request_timeout_seconds": 0.0},
        {"request_timeout_seconds": float("inf")},
        {"request_timeout_seconds": float("nan")},
        {"commit_reserve_seconds": -0.1},
        {"context_turns": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A wrong bound is found when it is set and named by its field."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RunnerOptions(**wrong)
