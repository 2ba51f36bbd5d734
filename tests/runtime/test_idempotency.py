"""The same key again gets the same answer: at most one run, never a second turn."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.errors import (
    ConflictError,
    InvalidRequestError,
    MemoryUnavailableError,
    ServiceError,
    UpstreamError,
)
from agent_service.core.messages import Answer, ConversationId, Query, Turn, Usage
from agent_service.memory.base import MAX_RESPONSE_BYTES, IdempotencyKey, StoreOptions
from agent_service.memory.in_memory import InMemoryStore
from agent_service.programs.served import ServedPrograms
from agent_service.runtime.idempotency import IdempotencyOptions, IdempotentAnswering, fingerprint_of
from agent_service.testing import FakeClock, RecordingObserver, ScriptedProgram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import StoredTurn
    from agent_service.core.observer import Observer
    from agent_service.memory.base import Claim, Page

ADA = ConversationId("ada")
RUNNING_TTL_SECONDS = 35.0


class Store(InMemoryStore):
    """Fails at the operations that a test names."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(StoreOptions(max_turns=1000), clock=clock)
        self.failing: set[str] = set()

    async def claim(self, key: IdempotencyKey, **rest: Any) -> Claim:
        """Fail or do it."""
        self._fail("claim")
        return await super().claim(key, **rest)

    async def finish(self, key: IdempotencyKey, **rest: Any) -> bool:
        """Fail or do it."""
        self._fail("finish")
        return await super().finish(key, **rest)

    async def abandon(self, key: IdempotencyKey, **rest: Any) -> None:
        """Fail or do it."""
        self._fail("abandon")
        await super().abandon(key, **rest)

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """Fail or do it."""
        self._fail("page")
        return await super().page(conversation, limit=limit, before_seq=before_seq)

    def _fail(self, operation: str) -> None:
        if operation in self.failing:
            raise MemoryUnavailableError


class Service:
    """Answers by committing a turn, and counts; ``script`` does something before or instead."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(self.clock)
        self.asked: list[Query] = []
        self.listeners: list[Observer | None] = []
        self.script: Callable[[Query], Awaitable[None]] | None = None
        self.stores = True
        self.text = "4"
        self.answering = self.process()

    def process(self) -> IdempotentAnswering:
        """One of the service's processes over the one store."""
        options = IdempotencyOptions(running_ttl_seconds=RUNNING_TTL_SECONDS)
        return IdempotentAnswering(
            answering=self,
            store=self.store,
            programs=ServedPrograms([ScriptedProgram()]),
            options=options,
        )

    async def answer(self, query: Query, listener: Observer | None = None) -> Answer:
        """As a runner does."""
        self.asked.append(query)
        self.listeners.append(listener)
        if self.script is not None:
            await self.script(query)
        stored = await self.commit(query) if self.stores else None
        return Answer(
            query=query,
            text=stored.turn.answer if stored else self.text,
            model="m",
            reasoning_steps=1,
            tools_used=("calculator", "clock"),
            usage=Usage(10, 5, 2),
            latency_seconds=0.25,
            stored=stored is not None,
            seq=stored.seq if stored else None,
        )

    async def commit(self, query: Query) -> StoredTurn:
        """Store the turn under the id that the query brings."""
        number = len(self.asked)
        turn = Turn(query.turn_id or f"own-{number}", query.question, self.text, float(number), model="m")
        return await self.store.commit(query.conversation, turn, base_seq=0)

    async def kept(self) -> list[Turn]:
        """What is in ada's conversation."""
        return [stored.turn for stored in (await self.store.read(ADA, last_turns=1000)).turns]

    async def refusal(self, query: Query) -> ServiceError:
        """What ``query`` is refused with."""
        with pytest.raises(ServiceError) as refused:
            await self.answering.answer(query)
        return refused.value


_NUMBERS = itertools.count()


def _query(question: str = "2+2?", *, key: str | None = "k", at: ConversationId = ADA) -> Query:
    return Query(f"request-{next(_NUMBERS)}", at, question, idempotency_key=key)


@pytest.fixture
async def service() -> Service:
    """A service with an open store."""
    service = Service()
    await service.store.start()
    return service


async def _fail(_: Query) -> None:
    raise UpstreamError


async def _start(service: Service, query: Query) -> asyncio.Task[Answer]:
    """The query is being answered, and goes on for ever."""
    started = asyncio.Event()

    async def hang(_: Query) -> None:
        started.set()
        await asyncio.Event().wait()

    service.script = hang
    task = asyncio.create_task(service.answering.answer(query))
    await started.wait()
    service.script = None
    return task


async def _end(task: asyncio.Task[Answer]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_the_same_key_gets_the_same_answer_without_a_run(service: Service) -> None:
    """The repeated answer equals the first, its request's id included, and says that it is repeated."""
    first = await service.answering.answer(_query())
    service.text = "5"

    again = await service.process().answer(_query())

    assert replace(again, query=first.query, replayed=False) == first
    assert again.query.request_id == first.query.request_id
    assert (first.replayed, again.replayed) == (False, True)
    assert len(service.asked) == len(await service.kept()) == 1


async def test_without_a_key_every_query_runs(service: Service) -> None:
    """Only who sends a key asks for the guarantee."""
    for _ in range(2):
        await service.answering.answer(_query(key=None))

    assert len(await service.kept()) == 2


@pytest.mark.parametrize(
    "other", [_query("3+3?"), _query(at=ConversationId("ada", "trip"))], ids=["question", "session"]
)
async def test_another_query_with_the_key_is_refused(service: Service, other: Query) -> None:
    """A key is bound to what was asked with it first; the refusal names the header."""
    await service.answering.answer(_query())

    error = await service.refusal(other)

    assert isinstance(error, InvalidRequestError)
    assert [at.field for at in error.fields] == ["Idempotency-Key"]
    assert len(service.asked) == 1


async def test_another_query_is_refused_while_the_first_runs_too(service: Service) -> None:
    """The difference is told at once, not after a wait that cannot help."""
    running = await _start(service, _query())

    assert isinstance(await service.refusal(_query("3+3?")), InvalidRequestError)
    await _end(running)


async def test_keys_of_other_users_are_others(service: Service) -> None:
    """Nobody gets an answer of somebody else, whatever key they guess."""
    mine = await service.answering.answer(_query())

    theirs = await service.answering.answer(_query(at=ConversationId("eve")))

    assert len(service.asked) == 2
    assert theirs.query.conversation.user_id == "eve"
    assert not theirs.replayed
    assert mine.query.request_id != theirs.query.request_id


async def test_of_concurrent_duplicates_exactly_one_runs(service: Service) -> None:
    """The others are told to come back, and then get its answer."""
    query = _query()
    processes = [service.process() for _ in range(5)]

    outcomes = await asyncio.gather(
        *(each.answer(replace(query, request_id=f"r{n}")) for n, each in enumerate(processes)),
        return_exceptions=True,
    )

    refused = [each for each in outcomes if isinstance(each, ConflictError)]
    answered = [each for each in outcomes if isinstance(each, Answer)]
    assert len(service.asked) == 1
    assert len(refused) + len(answered) == 5
    assert all(each.retry_after_seconds for each in refused)
    assert {each.query.request_id for each in answered} == {service.asked[0].request_id}


async def test_while_the_first_runs_the_second_is_told_to_come_back(service: Service) -> None:
    """Refused with a time to come back; nothing runs twice."""
    running = await _start(service, _query())

    error = await service.refusal(_query())

    assert isinstance(error, ConflictError)
    assert error.retry_after_seconds == 1
    assert len(service.asked) == 1
    await _end(running)


async def test_a_query_that_failed_runs_again(service: Service) -> None:
    """A failure is not kept: the same key asks anew, at once, even something else."""
    service.script = _fail
    assert isinstance(await service.refusal(_query()), UpstreamError)
    service.script = None

    answer = await service.answering.answer(_query("3+3?"))

    assert answer.stored
    assert not answer.replayed


async def test_an_answer_that_was_not_stored_runs_again(service: Service) -> None:
    """Its turn may be on its way, so the next run has the same turn id and cannot store a second one."""
    service.stores = False
    first = await service.answering.answer(_query())
    service.stores = True
    await service.commit(service.asked[0])
    service.text = "never told"

    second = await service.answering.answer(_query())

    assert not first.stored
    assert second.text == "4"
    assert second.stored
    assert len(await service.kept()) == 1


async def test_a_caller_who_left_can_ask_again_at_once(service: Service) -> None:
    """Whether or not the turn came to be stored, there is one in the end."""
    await _end(await _start(service, _query()))

    answer = await service.answering.answer(_query())

    assert answer.stored
    assert service.asked[0].turn_id == service.asked[1].turn_id
    assert len(await service.kept()) == 1


async def test_after_a_crash_the_next_claimant_keeps_the_turn_id(service: Service) -> None:
    """Before the dead one's claim ends it is a conflict; then the next runs under the same turn id."""
    lost = await _start(service, _query())
    service.clock.advance(RUNNING_TTL_SECONDS - 0.1)
    assert isinstance(await service.refusal(_query()), ConflictError)
    service.clock.advance(0.2)

    answer = await service.answering.answer(_query())

    assert answer.stored
    assert service.asked[0].turn_id == service.asked[1].turn_id is not None
    await _end(lost)
    assert (await service.answering.answer(_query())).replayed


async def test_a_turn_stored_before_a_crash_is_the_answer(service: Service) -> None:
    """Nothing runs a second time: the stored turn is told, and kept as the key's answer from then on."""
    lost = await _start(service, _query())
    stored = await service.commit(service.asked[0])
    for _ in range(150):
        await service.answering.answer(_query("something else", key=None))
    runs = len(service.asked)
    service.clock.advance(RUNNING_TTL_SECONDS)

    found = await service.answering.answer(_query())
    again = await service.answering.answer(_query())

    assert (found.text, found.seq, found.stored, found.replayed) == ("4", stored.seq, True, True)
    assert again.query.request_id == found.query.request_id
    assert len(service.asked) == runs
    await _end(lost)


async def test_a_failure_of_the_next_claimant_keeps_the_turn_id(service: Service) -> None:
    """The first may still store its turn, as when its process had only been frozen."""
    lost = await _start(service, _query())
    service.clock.advance(RUNNING_TTL_SECONDS)
    service.script = _fail
    await service.refusal(_query())
    service.script = None
    await service.commit(service.asked[0])

    await service.answering.answer(_query())

    assert len(await service.kept()) == 1
    await _end(lost)


async def test_when_the_key_cannot_be_looked_up_nothing_runs(service: Service) -> None:
    """Who sends a key wants the guarantee, so there is no answer without it."""
    service.store.failing = {"claim"}

    assert isinstance(await service.refusal(_query()), MemoryUnavailableError)
    assert service.asked == []


async def test_when_the_answer_cannot_be_kept_it_is_told_and_found_later(service: Service) -> None:
    """The caller gets what is there; a repetition after the claim's end finds the turn."""
    service.store.failing = {"finish"}
    assert (await service.answering.answer(_query())).stored
    service.store.failing = set()
    service.clock.advance(RUNNING_TTL_SECONDS)

    again = await service.answering.answer(_query())

    assert (again.text, again.replayed) == ("4", True)
    assert len(service.asked) == 1


async def test_a_store_that_fails_after_a_failure_does_not_hide_it(service: Service) -> None:
    """The caller is told why the query failed; the claim ends by itself."""
    service.script = _fail
    service.store.failing = {"abandon"}

    assert isinstance(await service.refusal(_query()), UpstreamError)
    service.script = None
    service.clock.advance(RUNNING_TTL_SECONDS)
    assert (await service.answering.answer(_query())).stored


async def test_a_history_that_cannot_be_read_keeps_the_claim_s_turn_id(service: Service) -> None:
    """A claimant that cannot see whether the turn is there neither runs nor forgets it."""
    lost = await _start(service, _query())
    await service.commit(service.asked[0])
    service.clock.advance(RUNNING_TTL_SECONDS)
    service.store.failing = {"page"}
    assert isinstance(await service.refusal(_query()), MemoryUnavailableError)
    service.store.failing = set()

    assert (await service.answering.answer(_query())).replayed
    assert len(service.asked) == len(await service.kept()) == 1
    await _end(lost)


async def test_an_answer_too_long_to_keep_is_repeated_from_the_conversation(service: Service) -> None:
    """It never runs again; once the conversation has forgotten it, that is told."""
    service.text = "x" * (MAX_RESPONSE_BYTES + 1)
    await service.answering.answer(_query())

    again = await service.answering.answer(_query())
    await service.store.erase("ada", "default")
    error = await service.refusal(_query())

    assert (again.text, again.replayed) == (service.text, True)
    assert isinstance(error, ConflictError)
    assert error.retry_after_seconds is None
    assert len(service.asked) == 1


async def test_keys_are_forgotten_with_their_user(service: Service) -> None:
    """An erased user's answers are not repeated."""
    await service.answering.answer(_query())
    await service.store.erase("ada")

    assert not (await service.answering.answer(_query())).replayed


async def test_keys_are_forgotten_after_their_time(service: Service) -> None:
    """A day later the same key is a new query, with a turn of its own."""
    await service.answering.answer(_query())
    service.clock.advance(23 * 3600)
    await service.answering.answer(_query("keeps the conversation", key=None))
    service.clock.advance(2 * 3600)

    assert not (await service.answering.answer(_query())).replayed
    assert len(await service.kept()) == 3


def test_the_fingerprint_tells_apart_what_a_query_is() -> None:
    """User, session and question count, and cannot run into each other; the rest does not."""
    queries = [
        _query("c", at=ConversationId("a", "b")),
        _query("c", at=ConversationId("ab", "")),
        _query("bc", at=ConversationId("a", "")),
        _query('b","c', at=ConversationId("a", "")),
    ]

    assert len({fingerprint_of(query) for query in queries}) == len(queries)
    assert fingerprint_of(_query(key="one")) == fingerprint_of(replace(_query(), timeout_seconds=3.0))


@pytest.mark.parametrize("name", ["ttl_seconds", "running_ttl_seconds"])
def test_spans_are_positive(name: str) -> None:
    """A key that is forgotten at once guarantees nothing."""
    with pytest.raises(ValueError, match=name):
        IdempotencyOptions(**{name: 0.0})


def test_repr_says_before_whom(service: Service) -> None:
    """For people who debug."""
    assert repr(service.answering).startswith("<IdempotentAnswering before <")


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_listener_follows_the_run_and_no_repetition(service: Service, key: str | None) -> None:
    """With a key or without; what is repeated has no run to follow."""
    heard = RecordingObserver()
    query = Query("r", ConversationId("ada"), "?", idempotency_key=key)
    for _ in range(2):
        await service.process().answer(query, heard)

    assert service.listeners == ([heard] if key else [heard, heard])
