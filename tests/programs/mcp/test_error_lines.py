"""What a server's process writes to its standard error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_service.programs.mcp.error_lines import ErrorLines
from tests.programs.conftest import eventually

if TYPE_CHECKING:
    import pytest

LOGGER = "agent_service.programs.mcp.error_lines"


async def test_lines_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """With the server's name; the last of them are kept."""
    lines = ErrorLines("weather")
    with caplog.at_level(logging.DEBUG, LOGGER):
        async with lines.reading() as file:
            file.write("one\ntwo\n\nthree\nfour\nhalf")
            file.flush()
            await eventually(lambda: "half" in lines.last_words)
    assert caplog.messages == [f"MCP server weather: {line}" for line in ("one", "two", "three", "four")]
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert lines.last_words == "two / three / four / half"


def test_lines_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """In length, and in number for one process; so is one without an end."""
    lines = ErrorLines("weather")
    with caplog.at_level(logging.DEBUG, LOGGER):
        lines.data_received(b"x" * 10_000)
        lines.data_received(b"\n" + b"y\n" * 2000)
    assert caplog.messages[0] == f"MCP server weather: {'x' * 500}"
    assert len(caplog.messages) == 1000
    assert lines.last_words == "y / y / y"
