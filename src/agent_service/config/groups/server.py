"""Where the service listens, in how many processes, and how it stops."""

from __future__ import annotations

from pydantic import BaseModel

from agent_service.config.values import Word, setting


class ServerSettings(BaseModel):
    """Where the service listens, in how many processes, and how it stops."""

    server_host: Word = setting("address to listen on", "0.0.0.0", allowed="a host name or address")  # noqa: S104 - a container's port is published on purpose
    server_port: int = setting("port to listen on; 0 takes a free one", 3000, low=0, high=65535)
    server_workers: int = setting("processes that serve", 1, low=1, high=256)
    shutdown_grace_secs: float = setting(
        "how long queries in flight may finish when the service stops", 30.0, low=0, high=3600
    )
