"""What a tool of an MCP server answered, as an agent reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mcp import types

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RESULT_CHARS = 50_000
_WRAPPER = {"result"}
"""What servers put around an answer that is no object, for the protocol's sake."""


class McpToolError(Exception):
    """The tool failed; the message is the server's."""


def text_of(result: types.CallToolResult) -> str:
    """The answer as text, bounded: its structured content as JSON, else its texts; other media are left out.

    Raises:
        McpToolError: when the server says that the tool failed.
    """
    if result.is_error:
        raise McpToolError(_joined(result.content) or "no reason given")
    if result.structured_content is None:
        return _bounded(_joined(result.content))
    given = result.structured_content
    content = given["result"] if isinstance(given, dict) and given.keys() == _WRAPPER else given
    return _bounded(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))


def _joined(content: Sequence[types.ContentBlock]) -> str:
    return "\n".join(map(_text, content))


def _text(block: types.ContentBlock) -> str:
    if isinstance(block, types.TextContent):
        return block.text
    if isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
        return block.resource.text
    if isinstance(block, types.ResourceLink):
        return f"[{block.name}: {block.uri}]"
    kind = block.type if isinstance(block, (types.ImageContent, types.AudioContent)) else "file"
    return f"[{kind} left out: only text can be read]"


def _bounded(text: str) -> str:
    if len(text) <= MAX_RESULT_CHARS:
        return text
    return f"{text[:MAX_RESULT_CHARS]} ... ({len(text) - MAX_RESULT_CHARS} more characters left out)"
