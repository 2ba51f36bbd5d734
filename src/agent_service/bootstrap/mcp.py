"""The composition root's part for MCP: the servers that the settings name."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.programs.mcp.servers import McpServers


def mcp_servers(settings: Settings, *, clock: Clock) -> McpServers | None:
    """The servers of the file that the settings name, asked for their tools; None without a file.

    Raises:
        LoadError: when the file is wrong, or a server that is required is not there.
    """
    if settings.agent_mcp_servers is None:
        return None
    # The protocol's library takes half a second to import.
    from agent_service.programs.mcp.connection import ConnectionOptions  # noqa: PLC0415 - as above
    from agent_service.programs.mcp.servers import McpServers  # noqa: PLC0415 - as above
    from agent_service.programs.mcp.servers_file import read_servers  # noqa: PLC0415 - as above

    return McpServers.found(
        read_servers(settings.agent_mcp_servers, os.environ),
        options=ConnectionOptions(),
        clock=clock,
        random=random.Random(),
    )
