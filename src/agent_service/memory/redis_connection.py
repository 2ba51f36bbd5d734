"""The way to Redis: one client for one event loop, and what becomes of its errors."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterError,
    ConnectionError,  # noqa: A004 - redis-py's own names
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - the same
    TryAgainError,
)

from agent_service.core.clock import Deadline, sleep
from agent_service.core.errors import MemoryUnavailableError
from agent_service.memory.base import RETRY_AFTER_SECONDS, RecordUnusableError, unavailable
from agent_service.memory.redis_batch import RedisBatch, evaluate_each
from agent_service.memory.redis_client import close_client, make_client
from agent_service.memory.redis_url import parse_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent_service.core.clock import Clock
    from agent_service.memory.redis_options import RedisOptions
    from agent_service.memory.redis_scripts import Script

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.02
_PASSING = (
    ClusterError,
    ConnectionError,
    OSError,
    ReadOnlyError,
    RedisClusterException,
    TimeoutError,
    TryAgainError,
)
"""Failures that pass by themselves: a lost connection, a restart, a failover, a cluster that moves slots."""


class TooFewReplicasError(ConnectionError):
    """The turn is stored on the master, and fewer replicas than wanted have confirmed it in time."""


class RedisConnection:
    """Runs scripts on Redis, again while a failure may pass, within a limit.

    Every script may be sent twice: nothing but that makes it safe to go on after a reply was lost.

    Args:
        options: which Redis, and how patiently.
        clock: limits and paces the attempts.
    """

    def __init__(self, options: RedisOptions, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._address = parse_address(options.url)
        self._client: Any = None
        self._batch: RedisBatch | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._places = asyncio.Semaphore(options.max_connections)

    def __repr__(self) -> str:
        state = "closed" if self._client is None else "open"
        return f"<RedisConnection {self._address.form} {state}, {self._in_flight} in flight>"

    @property
    def is_cluster(self) -> bool:
        """Whether keys of different ids live on different servers."""
        return self._address.form == "cluster"

    def open(self) -> None:
        """Make the client. It connects when it is first used, and again whenever it has to."""
        self._client = make_client(
            self._address,
            wait_seconds=self._options.wait_seconds,
            max_connections=self._options.max_connections,
        )
        self._batch = None if self.is_cluster else RedisBatch(self._client)

    async def close(self) -> None:
        """Finish what was accepted, then disconnect. Safe to call twice."""
        client, self._client = self._client, None
        if client is None:
            return
        while self._in_flight:
            self._idle.clear()
            await self._idle.wait()
        if self._batch is not None:
            await self._batch.done()
        await close_client(client)

    async def run(self, script: Script, keys: Sequence[str], *arguments: bytes | str | float) -> Any:
        """What ``script`` returns.

        Raises:
            MemoryUnavailableError: it could not be run in time, with the cause.
        """
        batch, call = self._batch, (len(keys), *keys, *arguments)
        if batch is None:
            return await self._persist(lambda client: _evaluate(client, script, call))
        return await self._persist(lambda _: batch.evaluate(script, call))

    async def run_confirmed(
        self, script: Script, keys: Sequence[str], *arguments: bytes | str | float
    ) -> Any:
        """The same, once as many replicas as the options want have it too.

        Raises:
            MemoryUnavailableError: also when it was done and too few replicas confirmed it.
        """
        wanted, patience_ms = self._options.wait_replicas, int(self._options.wait_seconds * 500)
        if not wanted:
            return await self.run(script, keys, *arguments)

        async def attempt(client: Any) -> Any:
            wait = ("WAIT", wanted, patience_ms)
            calls = [(script, (len(keys), *keys, *arguments))]
            [result, confirmed] = _without_errors(await evaluate_each(client, calls, wait))
            if confirmed < wanted:
                raise TooFewReplicasError(f"{confirmed} of {wanted} replicas have confirmed")
            return result

        return await self._persist(attempt)

    async def run_each(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[bytes | str | float]]]
    ) -> list[Any]:
        """What ``script`` returns for each pair of keys and arguments, in one exchange."""
        if not calls:
            return []
        scripts = [(script, (len(keys), *keys, *rest)) for keys, rest in calls]

        async def attempt(client: Any) -> list[Any]:
            return _without_errors(await evaluate_each(client, scripts))

        return await self._persist(attempt)

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._persist(lambda client: client.ping())

    async def check_durability(self) -> None:
        """Log a warning when Redis would lose what it acknowledged; of a cluster, any one server is asked.

        Raises:
            MemoryUnavailableError: Redis could not be asked; a user who may not ask is no failure.
        """
        try:
            info = {**await self._info("persistence"), **await self._info("memory")}
        except MemoryUnavailableError as error:
            if not isinstance(error.__cause__, NoPermissionError):
                raise
            _log.info("this user may not ask Redis how durable it is (INFO)")
            return
        if not info.get("aof_enabled", 1):
            _log.warning("Redis keeps no append-only file: a restart loses turns that were stored")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            _log.warning("Redis removes keys when its memory is full (%s): stored turns can vanish", policy)

    async def _info(self, section: str) -> dict[str, Any]:
        more = {"target_nodes": RedisCluster.RANDOM} if self.is_cluster else {}
        found: dict[str, Any] = await self._persist(lambda client: client.info(section, **more))
        return found

    async def _persist(self, attempt: Callable[[Any], Awaitable[_T]]) -> _T:
        """Try until it is done, cannot succeed, or its time is up."""
        client = self._client
        if client is None:
            raise unavailable("The conversation store is closed.")
        deadline, pause_seconds = (
            Deadline.after(self._clock, self._options.timeout_seconds),
            _FIRST_PAUSE_SECONDS,
        )
        self._in_flight += 1
        try:
            while True:
                try:
                    async with self._places:
                        if deadline.passed():
                            raise unavailable("The conversation store is overloaded.")
                        return await attempt(client)
                except (RedisError, RedisClusterException, OSError) as error:
                    await _forget_connections(client, error)
                    if not _may_pass(error) or deadline.remaining_seconds() <= pause_seconds:
                        raise _translated(error) from error
                await sleep(self._clock, pause_seconds)
                pause_seconds *= 2
        finally:
            self._in_flight -= 1
            self._idle.set()


async def _evaluate(client: Any, script: Script, arguments: Sequence[bytes | str | float]) -> Any:
    try:
        return await client.execute_command("EVALSHA", script.sha, *arguments)
    except NoScriptError:
        return await client.execute_command("EVAL", script.text, *arguments)


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def _forget_connections(client: Any, error: Exception) -> None:
    """A server that was the master is reached no longer: the address is looked up anew."""
    if isinstance(error, ReadOnlyError) and isinstance(client, Redis):
        with suppress(RedisError, OSError):
            await client.connection_pool.disconnect(inuse_connections=False)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, AuthenticationError | AuthorizationError):
        return False
    return isinstance(error, _PASSING) or str(error).startswith("BUSY")


def _translated(error: Exception) -> MemoryUnavailableError:
    if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
        return RecordUnusableError(retry_after_seconds=RETRY_AFTER_SECONDS)
    return unavailable()
