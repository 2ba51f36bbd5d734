"""A file that is read at the start, and again whenever it has changed."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Generic, TypeVar

from agent_service.core.clock import sleep
from agent_service.core.observer import CredentialsRead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the file is looked at, in a thread: a disk that hangs must not hold up queries."""

T = TypeVar("T")


class UnreadableError(Exception):
    """What should hold keys is not what it should be. The text is for operators, and holds no key."""


class WatchedFile(Generic[T]):
    """Reads a file, and reads it again when it was changed or replaced; one that is wrong changes nothing.

    Args:
        path: where it is.
        source: what it holds, for logs and metrics: ``keys`` or ``jwks``.
        parse: makes something of its content; raises ``UnreadableError``.
        use: gets what was made.
        observer: is told of each reading.
        clock: paces the looking.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str,
        parse: Callable[[bytes], T],
        use: Callable[[T], None],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._path = path
        self._source = source
        self._parse = parse
        self._use = use
        self._observer = observer
        self._clock = clock
        self._seen: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        return f"<WatchedFile {self._path}>"

    def load(self) -> None:
        """Read it for the first time.

        Raises:
            UnreadableError: it cannot be read, or is wrong.
        """
        found = self._read()
        if found is not None:
            self._use(found)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await sleep(self._clock, LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Read the file if it has changed; log what is wrong with it, once for each change."""
        try:
            found = await asyncio.to_thread(self._read)
        except UnreadableError as error:
            _log.error("%s The ones that were read before stay in force.", error)
            self._observer.observe(CredentialsRead("", self._source, "error"))
            return
        if found is not None:
            self._use(found)
            self._observer.observe(CredentialsRead("", self._source, "success"))
            _log.info("%s was read again", self._path)

    def _read(self) -> T | None:
        """What is in the file; None when it is as it was."""
        try:
            with self._path.open("rb") as file:
                signature = _signature(os.fstat(file.fileno()))
                if signature == self._seen:
                    return None
                self._seen = signature
                return self._parse(file.read())
        except OSError as error:
            signature = (error.errno or 0,)
            if signature == self._seen:
                return None
            self._seen = signature
            raise UnreadableError(f"{self._path} cannot be read ({error.strerror}).") from error
        except UnreadableError as error:
            raise UnreadableError(f"{self._path} {error}.") from None


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_mtime_ns, status.st_ino, status.st_dev, status.st_size)
