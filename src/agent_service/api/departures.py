"""How a server tells that the client of a request has left, and how a client is made to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

DEPARTURES = "agent_service.departures"
"""Key of the request's scope under which a server that can leaves its ``Departures``."""


class Departures(Protocol):
    """Knows when the client of a connection leaves. For one event loop."""

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the client leaves, soon when it has left already."""

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Do not call it any more; harmless when it was called."""

    def hang_up(self) -> None:
        """End the connection at once, for a client that does not take what it is sent."""
