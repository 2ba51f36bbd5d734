"""The response object of OpenAI's API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.api.openai.responses.identity import ResponseIdentity
    from agent_service.api.openai.schemas import ResponseRequest


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a response before its answer.

    Attributes:
        identity: whose ids it has.
        request: what it answers.
        created_at: seconds of the epoch.
    """

    identity: ResponseIdentity
    request: ResponseRequest
    created_at: int

    def document(
        self,
        status: str,
        output: Sequence[dict[str, Any]],
        *,
        usage: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        is_kept: bool = False,
    ) -> dict[str, Any]:
        """The response as OpenAI's clients read it. Of sampling it says nothing, as none applied."""
        request = self.request
        return {
            "id": self.identity.response,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": None,
            "instructions": request.instructions,
            "max_output_tokens": None,
            "metadata": request.metadata.model_dump(exclude_none=True) if request.metadata else {},
            "model": request.model,
            "output": list(output),
            "parallel_tool_calls": False,
            "previous_response_id": request.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "store": is_kept,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": usage,
            "user": request.user,
        }


def message_item(identity: str, text: str, *, status: str = "completed") -> dict[str, Any]:
    """The answer as an item of the output."""
    content = [text_part(text)] if status == "completed" else []
    return {"id": identity, "type": "message", "role": "assistant", "status": status, "content": content}


def text_part(text: str) -> dict[str, Any]:
    """The text of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning_item(identity: str, text: str | None) -> dict[str, Any]:
    """A tool step as an item of the output; without its text while that is still to come."""
    summary = [] if text is None else [{"type": "summary_text", "text": text}]
    return {"id": identity, "type": "reasoning", "summary": summary}


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """Tokens in the names of responses. What was cached or thought is not known, hence 0."""
    return {
        "input_tokens": prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt_tokens + completion_tokens,
    }
