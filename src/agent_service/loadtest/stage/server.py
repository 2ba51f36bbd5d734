"""A server that is measured, started here or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.loadtest.stage.process import StageError
from agent_service.loadtest.stage.usage import Usage, usage_of

if TYPE_CHECKING:
    from agent_service.loadtest.client import Endpoint
    from agent_service.loadtest.stage.process import ServerProcess


class Server:
    """A server that is measured; ``process`` is None for one that was not started here."""

    def __init__(self, name: str, endpoint: Endpoint, process: ServerProcess | None = None) -> None:
        self.name = name
        self.endpoint = endpoint
        self._process = process

    def __repr__(self) -> str:
        return f"<Server {self.name} at {self.endpoint.url}>"

    def usage(self) -> Usage | None:
        """Its CPU and memory, None for one that was not started here.

        Raises:
            StageError: when it has ended.
        """
        if self._process is None:
            return None
        try:
            return usage_of(self._process.pid)
        except ProcessLookupError as error:
            raise StageError(f"{self.name} has ended: {self._process.last_word()}") from error
