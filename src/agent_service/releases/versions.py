"""The versions of one program that can answer, and which of them answers whom."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_service.core.observer import ReleaseRefused
from agent_service.programs.base import VersionShare
from agent_service.releases.base import ReleaseError
from agent_service.releases.standing import BASE, Standing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import ConversationId
    from agent_service.core.observer import Observer
    from agent_service.programs.base import Program
    from agent_service.releases.base import Shelf

    Build = Callable[[bytes], Awaitable[Program]]
    """Makes the version with this state; raises ``ReleaseError`` when there can be none."""

_log = logging.getLogger(__name__)


class ProgramVersions:
    """Follows a standing: versions are made ready first, and then answer all at once.

    A version that is not needed any more is let go of; queries that it runs keep it until they end.

    Args:
        base: the program without a release, which is ready.
        shelf: has the states.
        build: makes a version.
        observer: told of what cannot be served.
    """

    def __init__(self, base: Program, *, shelf: Shelf, build: Build, observer: Observer) -> None:
        self.base = base
        self.in_force = Standing()
        self.wanted: Standing | None = None
        self._shelf = shelf
        self._build = build
        self._observer = observer
        self._ready: dict[str, Program] = {BASE: base}

    def __repr__(self) -> str:
        return f"<ProgramVersions of {self.name}: {self.in_force}>"

    @property
    def name(self) -> str:
        """The program's."""
        return self.base.spec.name

    def answering(self, conversation: ConversationId) -> Program:
        """What answers a conversation."""
        return self._ready[self.in_force.version_for(conversation.user_id, conversation.session_id)]

    def shown(self, version: str) -> str:
        """How answers call a version: ``base`` by its state, where it was started with one."""
        return self.base.spec.version_name if version == BASE else version

    def shares(self) -> tuple[VersionShare, ...]:
        """Which versions answer."""
        active, canary, share = self.in_force.active, self.in_force.canary, self.in_force.percent / 100
        if canary is None:
            return (VersionShare(self.name, self.shown(active), 1.0),)
        shares = ((active, 1 - share), (canary, share))
        return tuple(VersionShare(self.name, self.shown(version), part) for version, part in shares)

    async def follow(self, wanted: Standing) -> None:
        """Let ``wanted`` hold. Without a version that cannot be served: it is told of once.

        When that is the canary, it is left out; when it is the active one, what answered before goes on.

        Raises:
            Exception: whatever the shelf raises; nothing has changed then, and it can be tried again.
        """
        if wanted == self.wanted:
            return
        is_active_ready = await self._make_ready(wanted.active)
        is_canary_ready = wanted.canary is None or await self._make_ready(wanted.canary)
        if is_active_ready:
            self.in_force = wanted if is_canary_ready else Standing(wanted.active, wanted.earlier)
        self.wanted = wanted
        needed = {BASE, self.in_force.active, self.in_force.canary, self.in_force.proven}
        self._ready = {version: program for version, program in self._ready.items() if version in needed}

    async def _make_ready(self, version: str) -> bool:
        if version == self.base.spec.version:
            self._ready[version] = self.base
        if version in self._ready:
            return True
        try:
            self._ready[version] = await self._build(await self._shelf.state(self.name, version))
        except ReleaseError as error:
            _log.error("%s: version %s cannot be served: %s", self.name, version, error)
            self._observer.observe(ReleaseRefused("", self.name, version))
            return False
        _log.info("%s: version %s is ready", self.name, version)
        return True
