"""A shelf in Redis: every replica sees the same releases. They never expire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisClusterException, RedisError

from agent_service.releases.base import Release, ReleaseError, version_of
from agent_service.releases.ledger import read_ledger, write_ledger
from agent_service.releases.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_service.core.clock import Clock

_NOTHING = b""

_EXCHANGE = """
-- KEYS: ledger, state. ARGV: the ledger as it was read, the new one, the state or nothing
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisShelf:
    """The ledger of a program and its states, in one slot of a cluster.

    A change is written only when nobody else has written since it was read; else it is made again.

    Args:
        client: a client of ``redis.asyncio`` that answers in bytes; it is not closed here.
        clock: tells when releases were added.
    """

    def __init__(self, client: Any, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def add(self, program: str, state: bytes, *, note: str = "") -> Release:
        """Keep a state; see ``Shelf.add``."""
        version = version_of(state)
        while True:
            ledger = await self._ledger(program)
            releases, standing = _read(ledger)
            known = next((release for release in releases if release.version == version), None)
            if known is not None:
                return known
            release = Release(version, self._clock.wall(), note)
            after = write_ledger((*releases, release), standing)
            if await self._exchange(program, ledger, after, version, state):
                return release

    async def releases(self, program: str) -> tuple[Release, ...]:
        """All of a program; see ``Shelf.releases``."""
        return _read(await self._ledger(program))[0]

    async def state(self, program: str, version: str) -> bytes:
        """One state; see ``Shelf.state``."""
        with _reaching():
            state: bytes | None = await self._client.get(_state_key(program, version))
        if state is None:
            raise ReleaseError(f"{program} has no release {version}")
        if version_of(state) != version:
            raise ReleaseError(f"release {version} of {program} was changed after it was added")
        return state

    async def standing(self, program: str) -> Standing:
        """How they stand; see ``Shelf.standing``."""
        return _read(await self._ledger(program))[1]

    async def change(self, program: str, change: Callable[[Standing], Standing]) -> Standing:
        """Change the standing; see ``Shelf.change``."""
        while True:
            ledger = await self._ledger(program)
            releases, before = _read(ledger)
            after = change(before)
            if after == before or await self._exchange(program, ledger, write_ledger(releases, after)):
                return after

    async def _ledger(self, program: str) -> bytes:
        with _reaching():
            return await self._client.get(_ledger_key(program)) or _NOTHING

    async def _exchange(
        self, program: str, before: bytes, after: bytes, version: str = "", state: bytes = _NOTHING
    ) -> bool:
        keys = (_ledger_key(program), _state_key(program, version))
        with _reaching():
            return bool(await self._client.eval(_EXCHANGE, len(keys), *keys, before, after, state))


@contextmanager
def _reaching() -> Iterator[None]:
    """Within, a Redis that fails is an ``OSError``, as a disk that fails is."""
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        raise OSError(f"Redis: {error}") from error


def _read(ledger: bytes) -> tuple[tuple[Release, ...], Standing]:
    return read_ledger(ledger) if ledger else ((), Standing())


def _ledger_key(program: str) -> str:
    return f"agsv:1:{{releases:{program}}}:ledger"


def _state_key(program: str, version: str) -> str:
    return f"agsv:1:{{releases:{program}}}:state:{version}"
