"""Who is in flight: which run has a caller, a slot, a turn on its way, and whom an erasure concerns."""

from __future__ import annotations

import asyncio

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.messages import ConversationId
from agent_service.core.run import Run, StopReason
from agent_service.runtime.in_flight import InFlight
from agent_service.testing import FakeClock, RecordingObserver

ADA, ADA_TWO, EVE = ConversationId("ada"), ConversationId("ada", "two"), ConversationId("eve")


def a_run() -> Run:
    """A run that goes on."""
    clock = FakeClock()
    deadline = Deadline.after(clock, 30)
    return Run(request_id="r", deadline=deadline, clock=clock, observer=RecordingObserver())


def test_a_slot_without_a_caller_is_abandoned() -> None:
    """Until it is given back, and giving it back again changes nothing."""
    in_flight, run = InFlight(), a_run()
    in_flight.waited_for.add(run)
    in_flight.hold(run, ADA)
    assert repr(in_flight) == "<InFlight 1 in flight, 0 abandoned>"
    in_flight.waited_for.discard(run)
    assert repr(in_flight) == "<InFlight 0 in flight, 1 abandoned>"
    in_flight.release(run)
    in_flight.release(run)
    assert in_flight.abandoned == 0


@pytest.mark.parametrize(
    ("session_id", "erased"), [(None, {ADA, ADA_TWO}), ("two", {ADA_TWO}), ("default", {ADA}), ("x", set())]
)
async def test_an_erasure_concerns_the_user_s_conversations(
    session_id: str | None, erased: set[ConversationId]
) -> None:
    """With a session only that one: those that run, those that come meanwhile, and turns being stored."""
    in_flight, everything = InFlight(), (ADA, ADA_TWO, EVE)
    there, coming = ({conversation: a_run() for conversation in everything} for _ in range(2))
    commits = {conversation: asyncio.create_task(asyncio.sleep(0)) for conversation in everything}
    for conversation, run in there.items():
        in_flight.hold(run, conversation)
        in_flight.commits(commits[conversation], conversation)

    with in_flight.erasing("ada", session_id) as concerned:
        for conversation, run in coming.items():
            in_flight.hold(run, conversation)

    assert concerned == {commits[conversation] for conversation in erased}
    for runs in (there, coming):
        assert {at for at, run in runs.items() if run.stop_reason is StopReason.ERASED} == erased
    await asyncio.wait(commits.values())


async def test_afterwards_nobody_is_stopped_and_what_is_stored_is_forgotten() -> None:
    """An erasure that failed ends like one that did not; a commit is known until it is done."""
    in_flight, late = InFlight(), a_run()
    commit = asyncio.create_task(asyncio.sleep(0))
    in_flight.commits(commit, ADA)
    with pytest.raises(OSError, match="disk"), in_flight.erasing("ada", None):
        raise OSError("disk")
    in_flight.hold(late, ADA)
    assert late.stop_reason is None
    await commit
    await asyncio.sleep(0)
    with in_flight.erasing("ada", None) as concerned:
        assert concerned == set()


async def test_two_erasures_of_the_same_do_not_end_each_other() -> None:
    """Queries are kept out until the last of them is over."""
    in_flight, meanwhile, after = InFlight(), a_run(), a_run()
    with in_flight.erasing("ada", None):
        with in_flight.erasing("ada", None):
            pass
        in_flight.hold(meanwhile, ADA)
    in_flight.hold(after, ADA)
    assert (meanwhile.stop_reason, after.stop_reason) == (StopReason.ERASED, None)
