"""A real MCP server: ``server.py``, or ``server.py http PORT``. Notes in the file NOTES what it does."""

import os
import sys
from pathlib import Path
from typing import Literal

import anyio
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("tests")


def note(line: str) -> None:
    with Path(os.environ["NOTES"]).open("a", encoding="utf-8") as notes:
        notes.write(f"{line}\n")


@server.tool()
def add(x: int, y: int = 2) -> int:
    """Add two numbers."""
    return x + y


@server.tool()
def paint(color: Literal["red", "green"], size: int | None = None) -> Image:
    """Paint a picture."""
    return Image(data=b"png", format="png")


@server.tool()
def environment() -> dict[str, str]:
    """Tell the environment."""
    return dict(os.environ)


@server.tool()
def refuse(why: str) -> str:
    """Fail."""
    raise ValueError(why)


@server.tool()
async def wait() -> str:
    """Wait for ever."""
    note("waiting")
    try:
        await anyio.sleep_forever()
    finally:
        note("cancelled")
    return "never"


@server.tool()
def die() -> str:
    """End the process at once."""
    os._exit(3)


note(f"started {os.getpid()}")
if sys.argv[1:2] == ["http"]:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
else:
    server.run("stdio")
