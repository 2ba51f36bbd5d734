"""The signing keys that an identity provider publishes: fetched, kept, and fetched again in time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from agent_service.access.signing_keys import SigningKeys
from agent_service.access.watched_file import UnreadableError
from agent_service.core.clock import sleep, wait_at_most
from agent_service.core.errors import IdentityUnavailableError
from agent_service.core.observer import CredentialsRead

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import jwt

    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

_log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
"""How long one fetch may take."""

REFRESH_SECONDS = 600.0
"""How long a key that the provider has withdrawn is trusted at most, while the provider answers."""

PAUSE_SECONDS = 10.0
"""Between two fetches, however many tokens name keys that are not known."""


class PublishedKeys:
    """The signing keys at an address; see ``SigningKeySource``.

    A name that is not known makes it look again, at most once in ``PAUSE_SECONDS``. While the address does
    not answer, the keys that are known go on.

    Args:
        fetch: gets the key set; raises ``UnreadableError``.
        parse: reads it; raises ``UnreadableError``.
        observer: is told of each fetch.
        clock: paces the fetches.
    """

    def __init__(
        self,
        *,
        fetch: Callable[[], Awaitable[bytes]],
        parse: Callable[[bytes], SigningKeys],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.generation = 0
        self._fetch = fetch
        self._parse = parse
        self._observer = observer
        self._clock = clock
        self._keys = SigningKeys()
        self._failed = True
        self._next_at_seconds = 0.0
        self._fetching: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<PublishedKeys {self._keys!r}>"

    async def run(self) -> None:
        """Fetch at once and then again and again, until cancelled."""
        try:
            while True:
                await self.refresh()
                await sleep(self._clock, PAUSE_SECONDS if self._failed else REFRESH_SECONDS)
        finally:
            if self._fetching is not None:
                self._fetching.cancel()

    async def find(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """See ``SigningKeySource``."""
        key = self._keys.find(name, algorithm)
        if key is not None:
            return key
        if self._fetching is not None or self._clock.monotonic() >= self._next_at_seconds:
            await self.refresh()
            key = self._keys.find(name, algorithm)
        if key is None and self._failed:
            wait_seconds = max(1.0, self._next_at_seconds - self._clock.monotonic())
            raise IdentityUnavailableError(retry_after_seconds=wait_seconds)
        return key

    async def refresh(self) -> None:
        """Fetch; who comes while a fetch is under way waits for that one."""
        if self._fetching is None:
            self._next_at_seconds = self._clock.monotonic() + PAUSE_SECONDS
            self._fetching = asyncio.create_task(self._replace())
        await asyncio.shield(self._fetching)

    async def _replace(self) -> None:
        try:
            self._keys = self._parse(await self._fetched())
        except UnreadableError as error:
            self._failed = True
            _log.error(
                "the key set of JWT_JWKS_URL %s; tokens of keys that are known are still accepted", error
            )
        else:
            self._failed = False
            self.generation += 1
        finally:
            self._fetching = None
        self._observer.observe(CredentialsRead("", "jwks", "error" if self._failed else "success"))

    async def _fetched(self) -> bytes:
        fetching = asyncio.ensure_future(self._fetch())
        try:
            if await wait_at_most(self._clock, FETCH_SECONDS, fetching):
                return fetching.result()
        finally:
            fetching.cancel()
        raise UnreadableError(f"did not come within {FETCH_SECONDS:g} s")
