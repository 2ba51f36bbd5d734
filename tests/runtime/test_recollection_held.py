"""What a query is told of its conversation when it has its turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.errors import PreconditionFailedError
from agent_service.core.messages import ConversationId, Query
from agent_service.core.run import Run
from agent_service.memory.base import StoreOptions, Window
from agent_service.memory.in_memory import InMemoryStore
from agent_service.runtime.recollection import Recollection, Recollections
from agent_service.runtime.turns import HeldTurn
from agent_service.testing import FakeClock, RecordingObserver

HERE = ConversationId("ada")
QUERY = Query("r1", HERE, "Hi?")


async def _recalled(held: HeldTurn, query: Query = QUERY) -> Recollection:
    """With a store in which nothing is kept."""
    clock = FakeClock()
    store = InMemoryStore(StoreOptions(), clock=clock)
    await store.start()
    run = Run(
        request_id="r1", deadline=Deadline.after(clock, 10.0), clock=clock, observer=RecordingObserver()
    )
    recollections = Recollections(
        store=store, context_turns=3, context_tokens=4000, degrade_without_memory=False
    )
    return await recollections.recall(query, run, held)


async def test_what_came_with_the_turn_is_not_read_again() -> None:
    """Without a lease, as with the policy ``parallel``, the store is asked."""
    held = HeldTurn(HERE)
    assert (await _recalled(held)).base_seq == 0
    held.window = Window((), 7)
    assert (await _recalled(held)).base_seq == 7


async def test_the_conversation_must_be_as_the_caller_expects() -> None:
    """Another last turn than the one the caller knows of is a refusal that names it."""
    held = HeldTurn(HERE)
    held.window = Window((), 7)

    assert (await _recalled(held, replace(QUERY, expected_seq=7))).base_seq == 7
    with pytest.raises(PreconditionFailedError, match="seq 7"):
        await _recalled(held, replace(QUERY, expected_seq=6))
