"""Turns of conversations: who comes next, how long one waits, and what becomes of the store's lease."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_service.core.clock import Deadline
from agent_service.core.errors import ConflictError, MemoryUnavailableError
from agent_service.core.messages import ConversationId, Turn
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.memory.base import StoreOptions, Window
from agent_service.memory.in_memory import InMemoryStore
from agent_service.runtime.turns import HeldTurn, TurnKeeper, TurnOptions
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ADA, EVE = ConversationId("ada"), ConversationId("eve")
LEASE_SECONDS = 30.0


class LeaseStore(InMemoryStore):
    """Counts the calls for leases; does ``before`` each of them, if a test says so."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(StoreOptions(), clock=clock)
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def _note(self, operation: str) -> None:
        self.calls[operation] += 1
        if self.before is not None:
            await self.before(operation)

    async def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> Window | None:
        """Take."""
        await self._note("take")
        return await super().take_turn(
            conversation, token=token, ttl_seconds=ttl_seconds, last_turns=last_turns
        )

    async def keep_turn(self, conversation: ConversationId, *, token: str, ttl_seconds: float) -> bool:
        """Keep."""
        await self._note("keep")
        return await super().keep_turn(conversation, token=token, ttl_seconds=ttl_seconds)

    async def give_turn(self, conversation: ConversationId, *, token: str) -> None:
        """Give."""
        await self._note("give")
        await super().give_turn(conversation, token=token)


class Scene:
    """A keeper on a store that others may use, and who holds turns."""

    def __init__(self, options: TurnOptions | None = None) -> None:
        self.clock = FakeClock()
        self.store = LeaseStore(self.clock)
        self.options = options or TurnOptions(lease_seconds=LEASE_SECONDS)
        self.keeper = self.another_process()
        self.holders: list[str] = []
        self.log: list[str] = []
        self.runs: dict[str, Run] = {}
        self.turns: dict[str, HeldTurn] = {}
        self.ends: dict[str, asyncio.Event] = {}

    def another_process(self) -> TurnKeeper:
        """A keeper of its own on the same store."""
        return TurnKeeper(store=self.store, clock=self.clock, options=self.options)

    async def open(self) -> Scene:
        """With its store open."""
        await self.store.start()
        return self

    async def others_hold(self) -> bool:
        """Whether another process would find ada's lease taken."""
        free = await InMemoryStore.take_turn(self.store, ADA, token="probe", ttl_seconds=1.0)
        await InMemoryStore.give_turn(self.store, ADA, token="probe")
        return not free

    async def asks(
        self,
        name: str,
        *,
        conversation: ConversationId = ADA,
        keeper: TurnKeeper | None = None,
        limit_seconds: float = 600.0,
        commit: asyncio.Future[Any] | None = None,
    ) -> asyncio.Task[None]:
        """Somebody wants the turn and holds it until told that it is over."""
        self.ends[name] = asyncio.Event()
        self.runs[name] = Run(
            request_id=name,
            deadline=Deadline.after(self.clock, limit_seconds),
            clock=self.clock,
            observer=RecordingObserver(),
        )

        async def hold() -> None:
            run = self.runs[name]
            with run.stopped_at_deadline():
                async with (keeper or self.keeper).hold(conversation, run, last_turns=2) as turn:
                    self.turns[name] = turn
                    self.holders.append(name)
                    self.log.append(name)
                    try:
                        with run.interruptible():
                            await self.ends[name].wait()
                    finally:
                        self.holders.remove(name)
                    if commit is not None:
                        turn.hold_for(commit)

        asking = asyncio.create_task(hold())
        await self.settle()
        return asking

    async def settle(self, ticks: int = 20) -> None:
        """Everything that can happen by itself happens."""
        for _ in range(ticks):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float, *, step_seconds: float = 0.01) -> None:
        """Time goes by in small steps, so that what waits for one thing can wait for the next."""
        for _ in range(round(seconds / step_seconds)):
            self.clock.advance(step_seconds)
            await self.settle(8)

    async def over(self, *names: str) -> None:
        """These give their turns back."""
        for name in names:
            self.ends[name].set()
        await self.settle()

    async def assert_at_rest(self) -> None:
        """No entry, no task, no timer and no lease is left."""
        await self.settle()
        assert "0 in 0 conversations, <OwnedTasks 0 under way>" in repr(self.keeper)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.clock.pending == 0
        assert not await self.others_hold()


@pytest.fixture
async def scene() -> Scene:
    """One with the standard options."""
    return await Scene().open()


async def test_a_conversation_is_served_first_come_first_served(scene: Scene) -> None:
    """Each waits for those before it, whoever of them gives up meanwhile."""
    asking = [await scene.asks(name) for name in ("one", "two", "three", "four")]
    assert scene.holders == ["one"]
    asking[1].cancel()
    await scene.settle()
    await scene.over("one", "three")
    assert scene.holders == ["four"]
    await scene.over("four")

    assert scene.log == ["one", "three", "four"]
    await asyncio.wait(asking)
    await scene.assert_at_rest()


async def test_other_conversations_are_not_held_up(scene: Scene) -> None:
    """A line is one conversation's own."""
    await scene.asks("one")
    await scene.asks("other", conversation=EVE)
    assert scene.holders == ["one", "other"]
    await scene.over("one", "other")
    await scene.assert_at_rest()


async def test_a_wait_has_an_end(scene: Scene) -> None:
    """After ``wait_seconds`` in all the caller is told that it is too early, and when to come back."""
    await scene.asks("one")
    late = await scene.asks("late")
    scene.clock.advance(4.99)
    await scene.settle()
    assert not late.done()
    scene.clock.advance(0.01)

    with pytest.raises(ConflictError, match="Another question of this conversation") as refused:
        await late
    assert refused.value.retry_after_seconds == 1.0
    await scene.over("one")
    await scene.assert_at_rest()


async def test_a_wait_for_another_process_has_an_end(scene: Scene) -> None:
    """The lease of another process is polled for as long and not longer, and not too often."""
    await scene.asks("there", keeper=scene.another_process())
    late = await scene.asks("here")
    await scene.pass_time(5.1)

    with pytest.raises(ConflictError):
        await late
    assert 40 <= scene.store.calls["take"] <= 60
    await scene.over("there")
    await scene.assert_at_rest()


async def test_another_process_s_turn_is_waited_for(scene: Scene) -> None:
    """Once it is given back, whoever polls has it within a tenth of a second."""
    await scene.asks("there", keeper=scene.another_process())
    here = await scene.asks("here")
    await scene.pass_time(2.0)
    await scene.over("there")
    assert scene.holders == []
    await scene.pass_time(0.1)
    assert scene.holders == ["here"]
    await scene.over("here")
    await here
    await scene.assert_at_rest()


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_stop_ends_the_wait(scene: Scene, *, elsewhere: bool) -> None:
    """A caller who leaves, a deadline or a shutdown does not wait for somebody else's turn."""
    await scene.asks("one", keeper=scene.another_process() if elsewhere else None)
    stopped, late = await scene.asks("stopped"), await scene.asks("late", limit_seconds=1.0)
    scene.runs["stopped"].stop(StopReason.SHUTDOWN)
    await scene.settle()
    scene.clock.advance(1.0)
    await scene.settle()

    for asking, reason in ((stopped, StopReason.SHUTDOWN), (late, StopReason.DEADLINE)):
        with pytest.raises(RunStoppedError) as error:
            await asking
        assert error.value.reason is reason
    await scene.over("one")
    await scene.assert_at_rest()


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_reject_refuses_at_once(*, elsewhere: bool) -> None:
    """With that policy nobody waits; who asks after the answer finds the turn free."""
    scene = await Scene(TurnOptions("reject")).open()
    first = await scene.asks("one", keeper=scene.another_process() if elsewhere else None)
    with pytest.raises(ConflictError):
        await (await scene.asks("two"))
    assert scene.clock.pending == 2  # the first one's deadline and renewal
    scene.ends["one"].set()
    await first
    third = await scene.asks("three")
    assert scene.holders == ["three"]
    await scene.over("three")
    await third
    await scene.assert_at_rest()


async def test_parallel_holds_nobody_up_and_asks_nothing() -> None:
    """With that policy the store is not asked for a lease."""
    scene = await Scene(TurnOptions("parallel")).open()
    await scene.asks("one")
    await scene.asks("two")
    assert scene.holders == ["one", "two"]
    await scene.over("one", "two")
    assert scene.store.calls == {}
    await scene.assert_at_rest()


async def test_a_lease_is_renewed_for_as_long_as_it_is_held(scene: Scene) -> None:
    """A question that takes many times the lease keeps its turn; then it is given back once."""
    await scene.asks("long")
    for _ in range(10):
        await scene.pass_time(LEASE_SECONDS / 2, step_seconds=5.0)
        assert await scene.others_hold()
    assert scene.store.calls["keep"] == 15
    await scene.over("long")
    assert scene.store.calls["give"] == 1
    await scene.assert_at_rest()


async def test_many_leases_are_renewed_a_few_at_a_time(scene: Scene) -> None:
    """A thousand at once would be a burst of work and memory; each comes."""
    open_door = asyncio.Event()

    async def wait(operation: str) -> None:
        await open_door.wait()

    names = [str(number) for number in range(200)]
    for name in names:
        await scene.asks(name, conversation=ConversationId(name))
    scene.store.before = wait
    await scene.pass_time(LEASE_SECONDS / 3, step_seconds=5.0)
    at_once = scene.store.calls["keep"]
    scene.store.before = None
    open_door.set()
    await scene.settle(300)
    await scene.over(*names)

    assert at_once == 64
    assert scene.store.calls["keep"] == 200
    await scene.assert_at_rest()


async def test_a_lost_lease_is_not_fought_for(scene: Scene) -> None:
    """Who finds its lease gone goes on and leaves it to whoever has it."""
    holding = await scene.asks("long")
    await scene.store.erase("ada")
    await scene.pass_time(LEASE_SECONDS, step_seconds=5.0)

    assert scene.holders == ["long"]
    assert scene.store.calls["keep"] == 1
    await scene.over("long")
    await holding
    await scene.assert_at_rest()


async def test_a_process_that_died_is_waited_for_no_longer_than_its_lease(scene: Scene) -> None:
    """Nobody gives its lease back, so it ends by itself."""
    await InMemoryStore.take_turn(scene.store, ADA, token="dead", ttl_seconds=2.0)
    asking = await scene.asks("next")
    await scene.pass_time(1.9)
    assert scene.holders == []
    await scene.pass_time(0.2)
    assert scene.holders == ["next"]
    await scene.over("next")
    await asking
    await scene.assert_at_rest()


async def test_a_store_that_fails_stops_nobody(scene: Scene) -> None:
    """Without leases this process still answers one after the other; nothing is left when it fails again."""

    async def fail(operation: str) -> None:
        raise MemoryUnavailableError

    scene.store.before = fail
    first, second = await scene.asks("one"), await scene.asks("two")
    await scene.pass_time(4.0, step_seconds=1.0)
    assert scene.holders == ["one"]
    await scene.over("one")
    assert scene.holders == ["two"]
    await scene.pass_time(LEASE_SECONDS, step_seconds=5.0)
    await scene.over("two")
    await asyncio.gather(first, second)
    await scene.assert_at_rest()


async def test_a_lease_that_comes_too_late_is_given_back(scene: Scene) -> None:
    """A stop while the store is asked for the lease does not lose it."""
    answered = asyncio.Event()

    async def slow(operation: str) -> None:
        if operation == "take":
            await answered.wait()

    scene.store.before = slow
    asking = await scene.asks("gone")
    scene.runs["gone"].stop(StopReason.SHUTDOWN)
    await scene.settle()
    asking.cancel()
    with pytest.raises(RunStoppedError if asking.done() else asyncio.CancelledError):
        await asking
    answered.set()
    await scene.keeper.done()
    assert scene.store.calls == {"take": 1, "give": 1}
    await scene.assert_at_rest()


async def test_a_lease_is_given_back_although_its_holder_is_cancelled(scene: Scene) -> None:
    """Giving back belongs to the keeper: a holder cancelled at that moment loses nothing."""
    given = asyncio.Event()

    async def slow(operation: str) -> None:
        if operation == "give":
            await given.wait()

    scene.store.before = slow
    asking = await scene.asks("one")
    await scene.over("one")
    assert not asking.done()
    asking.cancel()
    await scene.settle()
    assert asking.cancelled()
    given.set()
    await scene.keeper.done()
    await scene.assert_at_rest()


async def test_giving_back_delays_nobody_beyond_the_deadline(scene: Scene) -> None:
    """A store that hangs when the lease is given back costs what is left of the run's time at most."""
    given = asyncio.Event()

    async def slow(operation: str) -> None:
        if operation == "give":
            await given.wait()

    scene.store.before = slow
    asking = await scene.asks("one", limit_seconds=1.0)
    await scene.over("one")
    assert not asking.done()
    scene.clock.advance(1.0)
    await scene.settle()
    assert asking.done()
    given.set()
    await scene.assert_at_rest()


async def test_a_turn_lasts_until_its_commit_is_done(scene: Scene) -> None:
    """The next question waits for a commit that outlasts its query; the query itself does not."""
    commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asking = await scene.asks("one", commit=commit)
    await scene.asks("two")
    await scene.over("one")
    assert asking.done()
    assert scene.holders == []
    assert await scene.others_hold()
    await InMemoryStore.give_turn(scene.store, ADA, token=scene.turns["one"].token)
    commit.set_result(None)
    await scene.settle()
    assert scene.holders == ["two"]
    assert scene.store.calls["give"] == 0
    await scene.over("two")
    await scene.assert_at_rest()


async def test_a_commit_that_fails_leaves_the_turn_to_the_keeper(scene: Scene) -> None:
    """It did not give the lease back, so the keeper does; one that succeeded did."""
    failed, done = (asyncio.get_running_loop().create_future() for _ in range(2))
    failed.set_exception(MemoryUnavailableError())
    done.set_result(None)
    await scene.asks("one", commit=failed)
    await scene.over("one")
    assert scene.store.calls["give"] == 1
    assert not await scene.others_hold()

    await scene.asks("two", commit=done)
    await scene.over("two")
    assert scene.store.calls["give"] == 1
    await scene.store.erase("ada")
    await scene.assert_at_rest()


async def test_with_the_turn_comes_the_conversation(scene: Scene) -> None:
    """As the store has it when the lease is taken; without a lease it is to be read."""
    said = Turn("t", "q", "a", 0.0)
    await scene.store.commit(ADA, said, base_seq=0)
    await scene.asks("one")
    assert scene.turns["one"].window == await scene.store.read(ADA, last_turns=2)

    async def fail(operation: str) -> None:
        raise MemoryUnavailableError

    scene.store.before = fail
    await scene.asks("other", conversation=EVE)
    assert scene.turns["other"].window is None
    scene.store.before = None
    await scene.over("one", "other")
    await scene.assert_at_rest()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 1), st.sampled_from([ADA, EVE])),
        st.tuples(st.sampled_from(["over", "stop", "cancel"]), st.integers(0, 9), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([1, 3, 10, 60]), st.none()),
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS, ticks=st.integers(0, 20))
def test_never_two_at_once(actions: list[tuple[str, int, ConversationId | None]], ticks: int) -> None:
    """Whatever two processes are asked, and whoever leaves when: one holder, and nothing is left."""

    async def play() -> None:
        scene = await Scene().open()
        keepers = [scene.keeper, scene.another_process()]
        asked: dict[str, tuple[asyncio.Task[None], ConversationId]] = {}
        for action, number, conversation in actions:
            name = str(number % max(1, len(asked)))
            if action == "ask" and conversation is not None:
                name = str(len(asked))
                task = await scene.asks(name, conversation=conversation, keeper=keepers[number])
                asked[name] = (task, conversation)
            elif action == "wait":
                await scene.pass_time(number * 0.1, step_seconds=0.1)
            elif name in asked:
                _act(scene, action, name, asked[name][0])
            await scene.settle(ticks)
            held = Counter(asked[holder][1] for holder in scene.holders)
            assert not held or max(held.values()) == 1
        await scene.over(*asked)
        await scene.pass_time(6.0, step_seconds=0.1)
        ends = {task.exception() for task, _ in asked.values() if not task.cancelled()}
        assert {type(end) for end in ends} <= {type(None), ConflictError, RunStoppedError}
        await scene.assert_at_rest()

    asyncio.run(play())


def _act(scene: Scene, action: str, name: str, task: asyncio.Task[None]) -> None:
    if action == "over":
        scene.ends[name].set()
    elif action == "stop":
        scene.runs[name].stop(StopReason.SHUTDOWN)
    else:
        task.cancel()


@pytest.mark.parametrize("wrong", [{"wait_seconds": 0.0}, {"lease_seconds": -1.0}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A span that is no span is found when it is set, and named."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TurnOptions(**wrong)
