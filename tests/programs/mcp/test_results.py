"""An MCP tool's answer as text."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import types

from agent_service.programs.mcp.results import MAX_RESULT_CHARS, McpToolError, text_of


def text(words: str) -> types.TextContent:
    return types.TextContent(type="text", text=words)


def result(*content: Any, **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=list(content), **more)


def test_texts_are_joined() -> None:
    """One line each; what embeds a text counts as one."""
    resource = types.TextResourceContents(uri="file:///a", text="c")
    embedded = types.EmbeddedResource(type="resource", resource=resource)
    assert text_of(result(text("a"), text("b"), embedded)) == "a\nb\nc"


def test_structured_content_is_preferred() -> None:
    """It is the same answer, whole; as JSON, which models read well."""
    assert text_of(result(text("short"), structured_content={"café": [1]})) == '{"café": [1]}'


@pytest.mark.parametrize(("wrapped", "shown"), [("plain", "plain"), ([1, 2], "[1, 2]"), (None, "null")])
def test_what_the_protocol_wraps_is_unwrapped(wrapped: Any, shown: str) -> None:
    """Servers put an answer that is no object into one."""
    assert text_of(result(structured_content={"result": wrapped})) == shown


def test_other_media_are_left_out_in_words() -> None:
    """An agent reads text only, and is told that there was more."""
    image = types.ImageContent(type="image", data="aGk=", mime_type="image/png")
    blob = types.EmbeddedResource(
        type="resource", resource=types.BlobResourceContents(uri="file:///a", blob="aGk=")
    )
    link = types.ResourceLink(type="resource_link", name="manual", uri="file:///manual")
    assert text_of(result(image, blob, link)) == (
        "[image left out: only text can be read]\n"
        "[file left out: only text can be read]\n"
        "[manual: file:///manual]"
    )


def test_a_long_answer_is_cut() -> None:
    """It would not fit the model's context."""
    shown = text_of(result(text("x" * (MAX_RESULT_CHARS + 7))))
    assert shown == f"{'x' * MAX_RESULT_CHARS} ... (7 more characters left out)"


@pytest.mark.parametrize(("content", "said"), [([text("no such city")], "no such city"), ([], "no reason")])
def test_a_failure_is_raised(content: list[types.TextContent], said: str) -> None:
    """The seam makes it what the agent's other tools' failures are."""
    with pytest.raises(McpToolError, match=said):
        text_of(result(*content, is_error=True))
