"""Conversations in Redis (or Valkey): shared by every process and host that reaches it.

One server, a master found by Sentinel, or a cluster (``memory.redis_url``). What a commit promises is what
the server is set up to keep: see docs/memory.md for append-only files, eviction and replicas.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, AuthorizationError, ResponseError

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, StoredTurn
from agent_service.memory import redis_keys as keys
from agent_service.memory import redis_scripts as scripts
from agent_service.memory.base import (
    Page,
    SessionInfo,
    Window,
    older_than,
)
from agent_service.memory.redis_claims import RedisClaims
from agent_service.memory.redis_connection import RedisConnection

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.messages import Turn
    from agent_service.memory.base import Claim, IdempotencyKey, StoreOptions
    from agent_service.memory.redis_options import RedisOptions

_log = logging.getLogger(__name__)

_PER_EXCHANGE = 100
"""Sessions or records handled in one exchange, so that a user with many does not hold Redis up."""

_NO_LIMIT = 2**53
"""The largest whole number that Lua holds exactly."""


class RedisStore:
    """Keeps the contract of ``memory.base``, with one bound more: ``max_conversation_bytes``.

    In a cluster the list of a user's sessions lives on another server than the conversations. A session is
    listed before its turn is committed, so that ``erase`` finds every turn that was acknowledged; one that is
    committed while its user is being erased may stay, unlisted, until its next turn or its expiry.

    Args:
        options: life and length of a conversation.
        redis_options: which Redis, and how patiently.
        clock: tells when a conversation expires; hosts should agree on it.
    """

    backend = "redis"

    def __init__(self, options: StoreOptions, redis_options: RedisOptions, *, clock: Clock) -> None:
        self._options = options
        self._max_bytes = redis_options.max_conversation_bytes
        self._clock = clock
        self._connection = RedisConnection(redis_options, clock=clock)
        self._claims = RedisClaims(self._connection)
        self._durability_is_checked = False

    def __repr__(self) -> str:
        return f"<RedisStore {self._connection!r}>"

    async def start(self) -> None:
        """Connect if Redis is there; a Redis that cannot be reached yet is found later.

        Raises:
            MemoryUnavailableError: Redis is there and refuses us, which waiting does not mend.
        """
        self._connection.open()
        try:
            await self.ping()
        except MemoryUnavailableError as error:
            if isinstance(error.__cause__, AuthenticationError | AuthorizationError | ResponseError):
                await self._connection.close()
                raise
            cause = error.__cause__
            _log.warning("the conversation store cannot be reached yet: %s: %s", type(cause).__name__, cause)
        except BaseException:
            await self._connection.close()
            raise

    async def close(self) -> None:
        """See ``ConversationStore``."""
        await self._connection.close()

    async def ping(self) -> None:
        """See ``ConversationStore``. The first answer also tells whether Redis keeps what it is given."""
        await self._connection.ping()
        if not self._durability_is_checked:
            await self._connection.check_durability()
            self._durability_is_checked = True

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        """See ``ConversationStore``."""
        _, last_seq, turns = await self._window(conversation, last_turns, None)
        return Window(turns, last_seq)

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """See ``ConversationStore``."""
        first_seq, last_seq, turns = await self._window(conversation, limit, before_seq)
        if not turns:
            return Page((), None)
        return Page(turns, older_than(range(turns[0].seq, last_seq + 1), first_seq))

    async def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> StoredTurn:
        """See ``ConversationStore``."""
        now, ttl_seconds = self._clock.wall(), self._options.ttl_seconds
        session, expires_at = keys.to_bytes(conversation.session_id), repr(now + ttl_seconds)
        listed, ttl_ms = keys.sessions_key(conversation.user_id), keys.milliseconds(ttl_seconds)
        encoded = keys.encode_turn(turn, base_seq)
        names: tuple[str, ...] = (*keys.conversation_keys(conversation), keys.lease_key(conversation))
        if self._connection.is_cluster:
            await self._connection.run(scripts.LIST_SESSION, [listed], repr(now), expires_at, ttl_ms, session)
        else:
            names = (*names, listed)
        seq, found_base, found = await self._connection.run_confirmed(
            scripts.COMMIT,
            names,
            *(repr(now), expires_at, ttl_ms, self._options.max_turns, self._max_bytes),
            *(keys.to_bytes(turn.turn_id), str(base_seq), encoded, repr(turn.at_epoch_seconds), session),
            keys.to_bytes(token or ""),
        )
        return StoredTurn(turn, seq, int(found_base)) if found is None else keys.decode_turn(found)

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """See ``ConversationStore``. Counts too few when a reply was lost and the erasing was sent again."""
        if session_id is not None:
            return await self._erase_sessions(user_id, [keys.to_bytes(session_id)])
        gone = await self._erase_sessions(user_id, await self._claims.names(keys.sessions_key(user_id), "-1"))
        await self._claims.erase(user_id)
        return gone

    async def sessions(
        self, user_id: str, *, limit: int = 100, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """See ``ConversationStore``."""
        listed = await self._claims.names(keys.sessions_key(user_id), repr(self._clock.wall()))
        names = sorted(name for name in map(keys.to_text, listed) if after is None or name > after)
        found: list[SessionInfo] = []
        while names and len(found) < limit:
            asked, names = names[:_PER_EXCHANGE], names[_PER_EXCHANGE:]
            found += await self._heads(user_id, asked)
        return tuple(found[:limit])

    async def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> Window | None:
        """See ``ConversationStore``."""
        window = (repr(self._clock.wall()), self._options.max_turns, _within_lua(last_turns), "")
        found = await self._claims.take_turn(conversation, token, ttl_seconds, window)
        return None if found is None else Window(tuple(map(keys.decode_turn, found[3])), found[1])

    async def keep_turn(self, conversation: ConversationId, *, token: str, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        return await self._claims.keep_turn(conversation, token, ttl_seconds)

    async def give_turn(self, conversation: ConversationId, *, token: str) -> None:
        """See ``ConversationStore``."""
        await self._claims.give_turn(conversation, token)

    async def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> Claim:
        """See ``ConversationStore``."""
        return await self._claims.claim(
            key,
            fingerprint=fingerprint,
            turn_id=turn_id,
            ttl_seconds=ttl_seconds,
            running_ttl_seconds=running_ttl_seconds,
        )

    async def finish(self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        return await self._claims.finish(key, turn_id, response, ttl_seconds)

    async def abandon(self, key: IdempotencyKey, *, turn_id: str) -> None:
        """See ``ConversationStore``."""
        await self._claims.abandon(key, turn_id)

    async def _window(
        self, conversation: ConversationId, limit: int, before_seq: int | None
    ) -> tuple[int, int, tuple[StoredTurn, ...]]:
        """The oldest and newest seq that are shown, and the turns of a stretch."""
        before = "" if before_seq is None else _within_lua(before_seq)
        first_seq, last_seq, _, found = await self._connection.run(
            scripts.WINDOW,
            keys.conversation_keys(conversation)[:2],
            *(repr(self._clock.wall()), self._options.max_turns, _within_lua(limit), before),
        )
        return first_seq, last_seq, tuple(map(keys.decode_turn, found))

    async def _heads(self, user_id: str, names: list[str]) -> list[SessionInfo]:
        """Those of the sessions that are there: one that is listed may have come to nothing."""
        arguments = (repr(self._clock.wall()), self._options.max_turns, 0, "")
        conversations = (ConversationId(user_id, name) for name in names)
        heads = await self._connection.run_each(
            scripts.WINDOW,
            [(keys.conversation_keys(conversation)[:2], arguments) for conversation in conversations],
        )
        return [
            SessionInfo(name, last_seq - first_seq + 1, last_seq, float(at))
            for name, (first_seq, last_seq, at, _) in zip(names, heads, strict=True)
            if last_seq
        ]

    async def _erase_sessions(self, user_id: str, names: list[bytes]) -> int:
        """Conversations before their names, so that an erasing that fails can be begun again."""
        listed, now, max_turns = keys.sessions_key(user_id), repr(self._clock.wall()), self._options.max_turns
        gone = 0
        for start in range(0, len(names), _PER_EXCHANGE):
            asked = names[start : start + _PER_EXCHANGE]
            calls = [
                (
                    self._keys_to_erase(ConversationId(user_id, keys.to_text(name)), listed),
                    (now, max_turns, name),
                )
                for name in asked
            ]
            gone += sum(await self._connection.run_each(scripts.ERASE, calls))
            if self._connection.is_cluster:
                await self._connection.run(scripts.UNLIST, [listed], *asked)
        return gone

    def _keys_to_erase(self, conversation: ConversationId, listed: str) -> tuple[str, ...]:
        own = (*keys.conversation_keys(conversation), keys.lease_key(conversation))
        return own if self._connection.is_cluster else (*own, listed)


def _within_lua(number: int) -> int:
    return max(-_NO_LIMIT, min(number, _NO_LIMIT))
