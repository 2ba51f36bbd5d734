"""The composition root's part for releases: the shelf that the settings name."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent_service.config.groups.releases import IN_REDIS
from agent_service.programs.loader import LoadError
from agent_service.releases.base import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_service.bootstrap.program_maker import ProgramMaker
    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.releases.base import Shelf

_ANSWER_SECONDS = 5.0
"""For any answer of Redis; a state has up to 16 MiB."""
_MAX_CONNECTIONS = 4


@dataclass(frozen=True)
class OpenShelf:
    """A shelf, and what is open with it until ``close`` is called in the event loop that used it."""

    shelf: Shelf
    _open: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)

    async def close(self) -> None:
        """Disconnect."""
        await self._open.aclose()


def open_shelf(settings: Settings, *, clock: Clock) -> OpenShelf | None:
    """Where the settings say that releases are kept; None where they keep none.

    Nothing is read or connected before the shelf is used.
    """
    if settings.agent_releases_path is None:
        return None
    if settings.agent_releases_path != IN_REDIS:
        from agent_service.releases.folder import FolderShelf  # noqa: PLC0415 - most services keep none

        return OpenShelf(FolderShelf(Path(settings.agent_releases_path), clock=clock))
    return _in_redis(settings, clock=clock)


def state_check(makers: Sequence[ProgramMaker]) -> Callable[[str, bytes], None]:
    """Raises ``ReleaseError`` where the named program, made by one of ``makers``, cannot take a state."""
    of = {maker.name: maker for maker in makers}

    def check(program: str, state: bytes) -> None:
        try:
            of[program].check(state)
        except LoadError as error:
            raise ReleaseError(str(error)) from error

    return check


def _in_redis(settings: Settings, *, clock: Clock) -> OpenShelf:
    from agent_service.memory.redis_client import close_client, make_client  # noqa: PLC0415 - as above
    from agent_service.memory.redis_url import parse_address  # noqa: PLC0415 - as above
    from agent_service.releases.redis import RedisShelf  # noqa: PLC0415 - as above

    if settings.redis_url is None:
        raise ValueError("releases are to be kept in Redis, and no Redis is named")
    address = parse_address(settings.redis_url.get_secret_value())
    client = make_client(address, wait_seconds=_ANSWER_SECONDS, max_connections=_MAX_CONNECTIONS)
    closing = AsyncExitStack()
    closing.push_async_callback(close_client, client)
    return OpenShelf(RedisShelf(client, clock=clock), closing)
