"""Turn leases and idempotency records in Redis. Their times are those of Redis, not of the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.memory import redis_keys as keys
from agent_service.memory import redis_scripts as scripts
from agent_service.memory.base import MAX_RESPONSE_BYTES, Claim

if TYPE_CHECKING:
    from agent_service.core.messages import ConversationId
    from agent_service.memory.base import IdempotencyKey
    from agent_service.memory.redis_connection import RedisConnection

_PER_EXCHANGE = 100


class RedisClaims:
    """Keeps the contract of ``memory.base`` for leases and records.

    Args:
        connection: to the Redis of the conversations.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<RedisClaims {self._connection!r}>"

    async def take_turn(
        self, conversation: ConversationId, token: str, ttl_seconds: float, window: tuple[str | int, ...]
    ) -> Any:
        """What ``scripts.WINDOW`` gives for ``window``; None when another token has the lease."""
        names = (*keys.conversation_keys(conversation)[:2], keys.lease_key(conversation))
        arguments = (*window, keys.to_bytes(token), keys.milliseconds(ttl_seconds))
        return await self._connection.run(scripts.TAKE_TURN, names, *arguments)

    async def keep_turn(self, conversation: ConversationId, token: str, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        arguments = (keys.to_bytes(token), keys.milliseconds(ttl_seconds))
        return bool(await self._connection.run(scripts.KEEP_TURN, [keys.lease_key(conversation)], *arguments))

    async def give_turn(self, conversation: ConversationId, token: str) -> None:
        """See ``ConversationStore``."""
        await self._connection.run(scripts.GIVE_TURN, [keys.lease_key(conversation)], keys.to_bytes(token))

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
        name = keys.record_name(key)
        state, first, found_id, response = await self._connection.run(
            scripts.CLAIM,
            keys.record_keys(key.principal, name),
            *(keys.to_bytes(fingerprint), keys.to_bytes(turn_id)),
            *(keys.milliseconds(ttl_seconds), keys.milliseconds(running_ttl_seconds), name),
        )
        return Claim(state.decode(), keys.to_text(first), keys.to_text(found_id), response)

    async def finish(self, key: IdempotencyKey, turn_id: str, response: bytes, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        name = keys.record_name(key)
        kept = (response,) if len(response) <= MAX_RESPONSE_BYTES else ()
        arguments = (keys.to_bytes(turn_id), keys.milliseconds(ttl_seconds), name, *kept)
        record = keys.record_keys(key.principal, name)
        return bool(await self._connection.run(scripts.FINISH, record, *arguments))

    async def abandon(self, key: IdempotencyKey, turn_id: str) -> None:
        """See ``ConversationStore``."""
        name = keys.record_name(key)
        record = keys.record_keys(key.principal, name)
        await self._connection.run(scripts.ABANDON, record, keys.to_bytes(turn_id), name)

    async def erase(self, principal: str) -> None:
        """Remove all records of ``principal``."""
        names = [name.decode() for name in await self.names(keys.records_key(principal), "-1")]
        for start in range(0, len(names), _PER_EXCHANGE):
            asked = names[start : start + _PER_EXCHANGE]
            calls = [(keys.record_keys(principal, name), (name,)) for name in asked]
            await self._connection.run_each(scripts.ERASE_RECORD, calls)

    async def names(self, key: str, above: str) -> list[bytes]:
        """The names at ``key``, a set by expiry, whose expiry is later than ``above``."""
        found: list[bytes] = await self._connection.run(scripts.NAMES, [key], above)
        return found
