"""What a query has of its conversation, over a real runner and an in-memory store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.errors import MemoryUnavailableError, NotFoundError
from agent_service.core.messages import Answer, ConversationId, Query, StoredTurn, Turn
from agent_service.memory.base import unavailable
from agent_service.memory.in_memory import InMemoryStore
from agent_service.runtime.recollection import instructed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]

ADA = ConversationId("ada")
BEFORE = tuple(Turn("", f"Said {number}?", f"Yes {number}.", 0.0) for number in range(1, 4))


async def _fail(user: str) -> None:
    raise unavailable()


async def _ask(service: Service, question: str, **more: Any) -> Answer:
    return await service.runner.answer(Query(f"r-{question}", ADA, question, **more))


async def _stored(service: Service) -> list[StoredTurn]:
    window = await InMemoryStore.read(service.store, ADA, last_turns=1000)
    return list(window.turns)


def _shown(service: Service) -> list[str]:
    """The questions before the last one, as the program saw them."""
    return [turn.question for turn in service.program.calls[-1][1]]


async def test_what_a_caller_sends_is_the_conversation_and_the_store_is_not_asked(service: Service) -> None:
    """All of it is shown, whatever the bounds of stored ones; nothing is read, leased or stored."""
    await _ask(service, "Stored?")
    service.journal.clear()
    long = replace(BEFORE[0], question="x" * 100_000)

    answer = await _ask(service, "Now?", before=(long, *BEFORE), is_recalled=False, is_kept=False)

    assert service.program.calls[-1][1] == (long, *BEFORE)
    assert service.journal == ["run"]
    assert (answer.stored, answer.seq, answer.degraded) == (False, None, ())
    await service.assert_at_rest()


async def test_a_query_without_a_shared_conversation_waits_for_no_other(service: Service) -> None:
    """It has no turn to wait for, even under the same id."""
    service.script = service.hang
    first = await service.begun()
    service.script = None

    answer = await _ask(service, "Now?", is_recalled=False, is_kept=False)

    assert answer.text == "You said: Now?"
    first.cancel()
    await asyncio.wait({first})


async def test_instructions_are_for_the_program_alone(service: Service) -> None:
    """They come before the question and are not stored."""
    await _ask(service, "Hi?", instructions="Be brief.")

    assert service.program.calls[-1][0] == {"question": "Be brief.\n\nHi?"}
    assert await service.kept() == ["Hi?"]
    assert instructed(Query("r", ADA, "Hi?")) == "Hi?"


async def test_a_kept_answer_keeps_what_was_said_before_it(open_service: Open) -> None:
    """As much as a later question is shown, in order, each turn with an id and a time of its own."""
    service = await open_service(context_turns=2)

    answer = await _ask(service, "Now?", before=BEFORE)

    stored = await _stored(service)
    assert [at.turn.question for at in stored] == ["Said 2?", "Said 3?", "Now?"]
    assert [at.forked_from for at in stored] == [None, None, None]
    assert len({at.turn.turn_id for at in stored} - {""}) == 3
    assert {at.turn.at_epoch_seconds for at in stored} == {service.clock.wall()}
    assert (answer.stored, answer.seq) == (True, 3)
    assert _shown(service) == ["Said 1?", "Said 2?", "Said 3?"]


async def test_without_shown_turns_none_is_kept_before_the_answer(open_service: Open) -> None:
    """Zero of them is none, not all."""
    service = await open_service(context_turns=0)

    await _ask(service, "Now?", before=BEFORE)

    assert await service.kept() == ["Now?"]


async def test_a_stored_conversation_goes_before_what_is_sent(service: Service) -> None:
    """A client that sends the whole conversation each time is not shown it twice, nor is it stored twice."""
    await _ask(service, "First?")

    await _ask(service, "Second?", before=BEFORE)

    assert _shown(service) == ["First?"]
    assert await service.kept() == ["First?", "Second?"]


async def test_an_answer_is_continued_as_if_nothing_came_after_it(service: Service) -> None:
    """What is shown is that turn and what it was answered on sight of, also past another fork."""
    for name in ("one", "two", "three"):
        await _ask(service, name, turn_id=name)
    await _ask(service, "fork", turn_id="fork", after_turn_id="one")
    assert _shown(service) == ["one"]

    await _ask(service, "on", after_turn_id="fork")

    assert _shown(service) == ["one", "fork"]
    assert [(at.turn.question, at.forked_from) for at in await _stored(service)] == [
        ("one", None),
        ("two", None),
        ("three", None),
        ("fork", 1),
        ("on", None),
    ]


async def test_an_old_answer_is_found_and_shown_within_the_bounds(open_service: Open) -> None:
    """However many turns came since; of its conversation no more than else is shown."""
    service = await open_service(context_turns=2)
    for number in range(45):
        await _ask(service, f"q{number}", turn_id=f"t{number}")

    await _ask(service, "Again?", after_turn_id="t21")

    assert _shown(service) == ["q20", "q21"]
    assert (await _stored(service))[-1].forked_from == 22


async def test_what_is_sent_with_a_continued_answer_comes_after_it(service: Service) -> None:
    """Shown and stored between the two."""
    await _ask(service, "First?", turn_id="first")

    await _ask(service, "Now?", after_turn_id="first", before=BEFORE[:1])

    assert _shown(service) == ["First?", "Said 1?"]
    assert await service.kept() == ["First?", "Said 1?", "Now?"]


@pytest.mark.parametrize("degrade_without_memory", [False, True])
async def test_an_answer_that_is_not_kept_cannot_be_continued(
    open_service: Open, degrade_without_memory: bool
) -> None:
    """No model is asked; another user's answer is none of the caller's."""
    service = await open_service(degrade_without_memory=degrade_without_memory)
    await _ask(service, "First?", turn_id="first")
    service.journal.clear()

    for query in (
        Query("r1", ADA, "Now?", after_turn_id="gone"),
        Query("r2", ConversationId("bob"), "Now?", after_turn_id="first"),
        Query("r3", ConversationId("ada", "other"), "Now?", after_turn_id="first"),
    ):
        with pytest.raises(NotFoundError, match="not kept any more"):
            await service.runner.answer(query)

    assert "run" not in service.journal
    await service.assert_at_rest()


async def test_an_answer_is_not_continued_without_its_conversation(open_service: Open) -> None:
    """Whoever may do without memory may not pretend to continue."""
    service = await open_service(degrade_without_memory=True)
    await _ask(service, "First?", turn_id="first")
    await service.store.close()

    with pytest.raises(MemoryUnavailableError):
        await _ask(service, "Now?", after_turn_id="first")


async def test_without_memory_what_is_sent_is_shown(open_service: Open) -> None:
    """An answer that must do without the store says so, and nothing is stored."""
    service = await open_service(degrade_without_memory=True)
    service.store.before_read = _fail

    answer = await _ask(service, "Now?", before=BEFORE)

    assert _shown(service) == ["Said 1?", "Said 2?", "Said 3?"]
    assert (answer.stored, answer.degraded) == (False, ("memory",))
    assert await service.kept() == []


async def test_a_continued_answer_need_not_be_kept(service: Service) -> None:
    """The conversation is shown and stays as it was."""
    await _ask(service, "First?", turn_id="first")

    answer = await _ask(service, "Now?", after_turn_id="first", is_kept=False)

    assert _shown(service) == ["First?"]
    assert (answer.stored, answer.degraded) == (False, ())
    assert await service.kept() == ["First?"]
