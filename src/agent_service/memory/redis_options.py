"""Which Redis, and how patiently. Beside the client, which takes long to import and is not always needed."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_service.memory.redis_url import parse_address


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Which Redis, and how patiently.

    Attributes:
        url: see ``memory.redis_url``; may hold a password, so it is never shown.
        timeout_seconds: after that long an operation is not tried again.
        wait_replicas: replicas that have to confirm a commit before it counts as stored. Not for clusters.
        max_connections: to one server; more calls wait for one to be free.
        max_conversation_bytes: the oldest turns of a longer conversation are trimmed, never the newest.
    """

    url: str = field(repr=False)
    timeout_seconds: float = 1.0
    wait_replicas: int = 0
    max_connections: int = 128
    max_conversation_bytes: int = 8 * 2**20

    def __post_init__(self) -> None:
        address = parse_address(self.url)
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be positive")
        if self.wait_replicas < 0:
            raise ValueError("wait_replicas must not be negative")
        if self.wait_replicas and address.form == "cluster":
            raise ValueError("wait_replicas cannot be used with a cluster")
        if min(self.max_connections, self.max_conversation_bytes) < 1:
            raise ValueError("max_connections and max_conversation_bytes must be at least 1")

    @property
    def wait_seconds(self) -> float:
        """How long one wait for the server may take."""
        return min(0.5, self.timeout_seconds / 2)
