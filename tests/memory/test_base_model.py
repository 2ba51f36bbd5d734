"""The contract of a conversation store against a plain model, over random sequences of calls."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_service.core.messages import ConversationId, StoredTurn, Turn
from agent_service.memory.base import Page, SessionInfo, StoreOptions, Window
from agent_service.memory.in_memory import InMemoryStore
from agent_service.memory.redis import RedisStore
from agent_service.memory.redis_options import RedisOptions
from agent_service.memory.sqlite import SqliteOptions, SqliteStore
from agent_service.testing import FakeClock
from tests.redis_servers import DatedClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.memory.base import ConversationStore
    from tests.redis_servers import RedisClusterServers, RedisServer


def _turn(turn_id: str, question: str = "q") -> Turn:
    return Turn(turn_id, question, "a", 1_700_000_000.25, "model", "program")


@dataclass
class _Model:
    """The contract in its plainest words: every turn of a life in a list."""

    options: StoreOptions
    clock: FakeClock
    lives: dict[ConversationId, tuple[float, list[StoredTurn]]] = field(default_factory=dict)

    def life(self, conversation: ConversationId) -> list[StoredTurn]:
        expires_at, turns = self.lives.get(conversation, (0.0, []))
        return turns if expires_at > self.clock.wall() else []

    def kept(self, conversation: ConversationId) -> tuple[StoredTurn, ...]:
        return tuple(self.life(conversation)[-self.options.max_turns :])

    def commit(self, conversation: ConversationId, turn: Turn, base_seq: int) -> StoredTurn:
        life = self.life(conversation)
        for stored in life[-2 * self.options.max_turns :]:
            if stored.turn.turn_id == turn.turn_id:
                is_kept = stored in self.kept(conversation)
                return stored if is_kept else StoredTurn(turn, stored.seq, stored.base_seq)
        stored = StoredTurn(turn, len(life) + 1, base_seq)
        self.lives[conversation] = (self.clock.wall() + self.options.ttl_seconds, [*life, stored])
        return stored

    def read(self, conversation: ConversationId, last_turns: int) -> Window:
        kept = self.kept(conversation)
        return Window(kept[max(0, len(kept) - last_turns) :], len(self.life(conversation)))

    def page(self, conversation: ConversationId, limit: int, before_seq: int | None) -> Page:
        kept = self.kept(conversation)
        older = [stored for stored in kept if before_seq is None or stored.seq < before_seq]
        shown = tuple(older[-limit:])
        return Page(shown, shown[0].seq if len(older) > limit else None)

    def sessions(self, user_id: str, limit: int, after: str | None) -> tuple[SessionInfo, ...]:
        names = sorted(
            key.session_id
            for key in self.lives
            if key.user_id == user_id and self.life(key) and (after is None or key.session_id > after)
        )
        found = [(name, self.kept(ConversationId(user_id, name))) for name in names[:limit]]
        return tuple(SessionInfo(name, len(kept), kept[-1].seq, 1_700_000_000.25) for name, kept in found)

    def erase(self, user_id: str, session_id: str | None) -> int:
        keys = [key for key in self.lives if key.user_id == user_id and session_id in (None, key.session_id)]
        gone = sum(len(self.kept(key)) for key in keys)
        for key in keys:
            del self.lives[key]
        return gone


_names = st.sampled_from(["a", "b", "a:b", "\ud800", ""])
_conversations = st.builds(ConversationId, _names, _names)
_turn_ids = st.sampled_from([f"t{number}" for number in range(6)])
_small = st.integers(0, 8)
_steps = st.one_of(
    st.tuples(st.just("commit"), _conversations, st.builds(_turn, _turn_ids, st.text()), _small),
    st.tuples(st.just("read"), _conversations, _small),
    st.tuples(st.just("page"), _conversations, st.integers(1, 8), st.none() | _small),
    st.tuples(st.just("sessions"), _names, st.integers(1, 3), st.none() | _names),
    st.tuples(st.just("erase"), _names, st.none() | _names),
    st.tuples(st.just("advance"), st.sampled_from([1.0, 9.0, 10.0])),
)
_one_conversation = st.tuples(
    st.just("commit"), st.just(ConversationId("a", "b")), st.builds(_turn, _turn_ids), _small
)


_sequences = st.lists(_steps | _one_conversation, min_size=1, max_size=40)


async def _apply(store: ConversationStore, clock: FakeClock, step: tuple[object, ...]) -> object:
    match step:
        case ("commit", ConversationId() as conversation, Turn() as turn, int(base_seq)):
            return await store.commit(conversation, turn, base_seq=base_seq)
        case ("read", ConversationId() as conversation, int(last_turns)):
            return await store.read(conversation, last_turns=last_turns)
        case ("page", ConversationId() as conversation, int(limit), before_seq):
            assert before_seq is None or isinstance(before_seq, int)
            return await store.page(conversation, limit=limit, before_seq=before_seq)
        case ("sessions", str(user_id), int(limit), after):
            assert after is None or isinstance(after, str)
            return await store.sessions(user_id, limit=limit, after=after)
        case ("erase", str(user_id), session_id):
            assert session_id is None or isinstance(session_id, str)
            return await store.erase(user_id, session_id)
        case ("advance", float(seconds)):
            clock.advance(seconds)
    return None


def _expect(model: _Model, step: tuple[object, ...]) -> object:
    name, *arguments = step
    return None if name == "advance" else getattr(model, str(name))(*arguments)


def _redis(options: StoreOptions, reached: RedisOptions, clock: FakeClock) -> ConversationStore:
    return RedisStore(options, reached, clock=DatedClock(clock))


def _run(
    make: Callable[[FakeClock], ConversationStore], options: StoreOptions, steps: list[tuple[object, ...]]
) -> None:
    """Take every step on the store and on the model, and compare."""
    clock = FakeClock()
    model = _Model(options, clock)

    async def compare() -> None:
        store = make(clock)
        await store.start()
        for step in steps:
            assert _expect(model, step) == await _apply(store, clock, step)
        await store.close()

    asyncio.run(compare())


@settings(max_examples=150, deadline=None)
@given(max_turns=st.integers(1, 3), steps=_sequences)
def test_any_sequence_of_calls_agrees_with_the_model(max_turns: int, steps: list[tuple[object, ...]]) -> None:
    """Whatever is committed, read, paged, erased and outlived: the answers are those of a plain list."""
    options = StoreOptions(ttl_seconds=10.0, max_turns=max_turns)
    _run(lambda clock: InMemoryStore(options, clock=clock), options, steps)
    with tempfile.TemporaryDirectory() as folder:
        file = SqliteOptions(Path(folder) / "store.db")
        _run(lambda clock: SqliteStore(options, file, clock=clock), options, steps)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(max_turns=st.integers(1, 3), steps=_sequences)
def test_any_sequence_of_calls_of_redis_agrees_with_the_model(
    redis_server: RedisServer,
    redis_cluster: RedisClusterServers,
    max_turns: int,
    steps: list[tuple[object, ...]],
) -> None:
    """The same on one server and on a cluster."""
    options = StoreOptions(ttl_seconds=10.0, max_turns=max_turns)
    for servers in (redis_server, redis_cluster):
        servers.clear()
        make = partial(_redis, options, RedisOptions(servers.url, timeout_seconds=10.0))
        _run(make, options, steps)
