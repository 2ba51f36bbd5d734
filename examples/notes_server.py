"""A server of tools by the Model Context Protocol (https://modelcontextprotocol.io), for ``notes.py``."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("notes", log_level="ERROR")
_notes: list[str] = []


@server.tool()
def add_note(text: str) -> str:
    """Keep a note; returns its number."""
    _notes.append(text)
    return f"note {len(_notes)}"


@server.tool()
def list_notes() -> list[str]:
    """All notes, oldest first."""
    return list(_notes)


if __name__ == "__main__":
    server.run()
