"""One runner over several programs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.errors import CircuitBreakerOpenError, NotFoundError
from agent_service.core.messages import ConversationId, Inputs, Query
from agent_service.core.observer import QueryFinished
from agent_service.core.pool import Pool, PoolOptions
from agent_service.memory.base import IdempotencyKey, StoreOptions
from agent_service.memory.in_memory import InMemoryStore
from agent_service.programs.served import ServedPrograms
from agent_service.runtime.idempotency import IdempotencyOptions, IdempotentAnswering, fingerprint_of
from agent_service.runtime.runner import Runner, RunnerOptions
from agent_service.runtime.turns import TurnKeeper, TurnOptions
from agent_service.testing import FakeClock, RecordingObserver, ScriptedProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.programs.base import Program, VersionShare

ADA = ConversationId("ada")


class Instead:
    """Answers for any program."""

    def __init__(self, version: Program) -> None:
        self._version = version

    async def start(self) -> None:
        """There is nothing to do."""

    def answering(self, program: Program, conversation: ConversationId) -> Program:
        """It does."""
        del program, conversation
        return self._version

    def shares(self) -> Sequence[VersionShare]:
        """Nobody asks."""
        return ()


class Parts:
    """A plain program, one without a plain side, and a runner over both."""

    def __init__(self) -> None:
        spec = ScriptedProgram().spec
        self.clock = FakeClock()
        self.plain = ScriptedProgram(spec=replace(spec, name="plain"))
        self.typed = ScriptedProgram(spec=replace(spec, name="typed", question_input=None))
        self.programs = ServedPrograms([self.plain, self.typed])
        self.store = InMemoryStore(StoreOptions(), clock=self.clock)
        self.observer = RecordingObserver()
        self.runner = self.new_runner()

    def new_runner(self) -> Runner:
        """One over the programs of now."""
        return Runner(
            programs=self.programs,
            store=self.store,
            turns=TurnKeeper(store=self.store, clock=self.clock, options=TurnOptions()),
            pool=Pool(PoolOptions(), clock=self.clock),
            clock=self.clock,
            observer=self.observer,
            options=RunnerOptions(),
        )

    def shown(self, program: ScriptedProgram) -> Sequence[str]:
        """The questions before the last one that a program was shown."""
        return [turn.question for turn in program.calls[-1][1]]


@pytest.fixture
async def parts() -> Parts:
    """With an open store."""
    parts = Parts()
    await parts.store.start()
    return parts


def query(text: str, program: str | None = None, **changes: Any) -> Query:
    """Somebody asks; the typed program by the name of its field."""
    inputs = Inputs({"question": text}, f'{{"question":"{text}"}}') if program == "typed" else None
    question = text if inputs is None else inputs.text
    return replace(Query(f"r-{text}", ADA, question, program=program, inputs=inputs), **changes)


async def test_a_query_goes_to_the_program_it_names(parts: Parts) -> None:
    """To the default when it names none; the log and the turn say which."""
    first = await parts.runner.answer(query("one"))
    second = await parts.runner.answer(query("two", "typed"))

    assert (first.text, first.outputs) == ("one", None)
    assert (second.text, second.outputs) == ("two", {"answer": "two"})
    assert [event.program for event in parts.observer.of(QueryFinished)] == ["plain", "typed"]
    turns = (await parts.store.page(ADA, limit=9)).turns
    assert [(kept.turn.program, kept.turn.question, kept.turn.answer) for kept in turns] == [
        ("plain", "one", "one"),
        ("typed", '{"question":"two"}', '{"answer":"two"}'),
    ]


async def test_the_version_of_a_conversation_answers(parts: Parts) -> None:
    """In the program's place, with the program's turns; the answer, the log and a repeated answer name it."""
    version = ScriptedProgram(spec=replace(parts.plain.spec, version="v1"))
    parts.programs = ServedPrograms([parts.plain], versions=Instead(version))
    runner = parts.new_runner()
    first = await parts.runner.answer(query("one"))
    answering = IdempotentAnswering(
        answering=runner, store=parts.store, programs=parts.programs, options=IdempotencyOptions()
    )

    second = await answering.answer(query("two", idempotency_key="k"))
    parts.programs = ServedPrograms([parts.plain])
    again = await answering.answer(query("two", idempotency_key="k"))

    assert parts.shown(version) == ["one"]
    assert [each.program_version for each in (first, second, again)] == ["base", "v1", "v1"]
    assert [event.version for event in parts.observer.of(QueryFinished)] == ["base", "v1"]


async def test_a_program_is_shown_its_own_turns(parts: Parts) -> None:
    """What another said, in other fields, is not its conversation."""
    for text, program in [("one", "plain"), ("two", "typed"), ("three", "plain")]:
        await parts.runner.answer(query(text, program))

    assert parts.shown(parts.plain) == ["one"]
    assert parts.shown(parts.typed) == []


async def test_another_program_is_not_found(parts: Parts) -> None:
    """Before anything begins."""
    with pytest.raises(NotFoundError):
        await parts.runner.answer(query("one", "none"))
    assert parts.observer.events == []


async def test_one_programs_breaker_stops_only_its_queries(parts: Parts) -> None:
    """The others are answered."""
    parts.typed.refused_with = CircuitBreakerOpenError()
    with pytest.raises(CircuitBreakerOpenError):
        await parts.runner.answer(query("one", "typed"))
    assert (await parts.runner.answer(query("two"))).text == "two"


async def test_a_key_is_bound_to_the_program_and_its_inputs(parts: Parts) -> None:
    """The same question to another program is another query; a repeated one has the same outputs."""
    answering = IdempotentAnswering(
        answering=parts.runner, store=parts.store, programs=parts.programs, options=IdempotencyOptions()
    )
    asked = query("one", "typed", idempotency_key="k")
    first = await answering.answer(asked)
    again = await answering.answer(replace(asked, request_id="other"))

    assert (again.replayed, again.outputs, again.text) == (True, first.outputs, "one")
    assert len(parts.typed.calls) == 1
    prints = {
        fingerprint_of(asked),
        fingerprint_of(replace(asked, program="plain")),
        fingerprint_of(replace(asked, inputs=Inputs({}, "{}"))),
        fingerprint_of(replace(asked, inputs=None)),
    }
    assert len(prints) == 4


async def test_an_answer_that_is_only_in_the_conversation_has_its_outputs(parts: Parts) -> None:
    """As far as the turn tells."""
    answering = IdempotentAnswering(
        answering=parts.runner, store=parts.store, programs=parts.programs, options=IdempotencyOptions()
    )
    for program, outputs in (("typed", {"answer": "one"}), ("plain", {"answer": "one"})):
        asked = query(
            "one", program, idempotency_key=f"k-{program}", inputs=Inputs({"question": "one"}, "{}")
        )
        turn_id = f"turn-{program}"
        await parts.runner.answer(replace(asked, turn_id=turn_id, idempotency_key=None))
        claim = await parts.store.claim(
            IdempotencyKey("ada", f"k-{program}"),
            fingerprint=fingerprint_of(asked),
            turn_id=turn_id,
            ttl_seconds=9,
            running_ttl_seconds=0,
        )
        assert claim.turn_id == turn_id
        found = await answering.answer(asked)
        assert (found.replayed, found.outputs, found.text) == (True, outputs, "one")
