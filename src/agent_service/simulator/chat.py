"""A chat completion request, and what a rule-following model replies to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from agent_service.programs.offline.fields import example
from agent_service.programs.offline.prompt import Step, is_request
from agent_service.programs.offline.requests import ToolRequest
from agent_service.programs.offline.rules import Inquiry, Prompt, answer, next_request, reply


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The parts of a request to ``/v1/chat/completions`` that the simulator heeds."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False
    include_usage: bool = False
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: Any = None

    @classmethod
    def from_body(cls, body: bytes) -> ChatRequest:
        """Read a request body.

        Raises:
            ValueError: when it is no JSON object with a model and messages.
        """
        given = orjson.loads(body)
        messages = given.get("messages") if isinstance(given, dict) else None
        named = isinstance(given, dict) and isinstance(given.get("model"), str)
        if not named or not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise ValueError("the body must be a JSON object with a model's name and a list of messages")
        return cls(
            model=given["model"],
            messages=messages,
            stream=given.get("stream") is True,
            include_usage=(given.get("stream_options") or {}).get("include_usage") is True,
            tools=tuple(tool["function"] for tool in given.get("tools") or () if "function" in tool),
            tool_choice=given.get("tool_choice"),
        )

    @property
    def prompt(self) -> Prompt:
        """The messages as text, roles in place."""
        texts = [(str(message.get("role")), _text(message.get("content"))) for message in self.messages]
        system = "\n".join(text for role, text in texts if role in ("system", "developer"))
        spoken = [part for part in texts if part[0] not in ("system", "developer")]
        return Prompt(system, spoken, _native_steps(self.messages))


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the model says, or the tool it wants called."""

    text: str
    tool_request: ToolRequest | None = None


def reply_to(request: ChatRequest, prompt: Prompt, inquiry: Inquiry) -> ChatReply:
    """Reply as the offline rules do; with native tools offered, by a tool call where one fits.

    A tool named ``submit`` gets the answer when nothing else is left to do, as ``dspy.ReActV2`` expects.
    """
    offered = {str(tool.get("name")): tool for tool in request.tools if request.tool_choice != "none"}
    forced = _forced_name(request.tool_choice)
    wanted = None if forced else next_request(inquiry, offered)
    last = offered.get(forced or "submit")
    if last and not wanted:
        wanted = ToolRequest(str(last["name"]), example(last.get("parameters") or {}, answer(inquiry)))
    return ChatReply("", wanted) if wanted else ChatReply(reply(prompt))


def _forced_name(tool_choice: Any) -> str:
    """The tool that the request insists on, or nothing."""
    return str(tool_choice.get("function", {}).get("name")) if isinstance(tool_choice, dict) else ""


def _native_steps(messages: list[dict[str, Any]]) -> tuple[Step, ...]:
    """The tool results since the last message that asks something."""
    names: dict[Any, str] = {}
    steps: list[Step] = []
    for message in messages:
        if is_request(str(message.get("role")), _text(message.get("content"))):
            steps.clear()
        for call in message.get("tool_calls") or ():
            names[call.get("id")] = str(call.get("function", {}).get("name"))
        if message.get("role") == "tool":
            name = names.get(message.get("tool_call_id"), str(message.get("name")))
            steps.append(Step(name, _text(message.get("content"))))
    return tuple(steps)


def _text(content: Any) -> str:
    """The text of a message, which is a string or a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
