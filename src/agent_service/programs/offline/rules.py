"""The brain of the offline LM: rules that answer DSPy's prompts in DSPy's own format.

Text in, text out: no clock, no I/O, no DSPy. What was decided is a function of the prompt alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_service.programs.offline.fields import rendered, value_of
from agent_service.programs.offline.prompt import (
    CONVERSATION,
    TRAJECTORY,
    Prompt,
    Step,
    input_names,
    input_values,
    output_fields,
    trajectory_steps,
    wants_json,
)
from agent_service.programs.offline.recall import ASSISTANT, USER, Said, conversation_messages, noted, recall
from agent_service.programs.offline.requests import ToolRequest, tool_requests

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agent_service.programs.offline.prompt import OutputField

__all__ = ["INTRODUCTION", "Inquiry", "Prompt", "answer", "inquiry_of", "next_request", "reply"]

INTRODUCTION = (
    "I am the offline demo engine, not a language model. I can do arithmetic, tell the time and date, "
    "convert units, and recall what you said in this conversation. For answers to anything else, set "
    "AGENT_MODEL and your provider's key (for example OPENAI_API_KEY) and start the service again."
)

_FINISH = ToolRequest("finish", {})
_STEP_FIELDS = {"next_thought", "next_tool_name", "next_tool_args"}
_FAILED = "Execution error in "
_REASON = re.compile(r"\b(?:ValueError|ZeroDivisionError|OverflowError): ([^\n]{1,200})$")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked, what was said before it, and which tools have answered."""

    question: str
    earlier: Sequence[Said] = ()
    steps: Sequence[Step] = ()


def reply(prompt: Prompt) -> str:
    """Answer a prompt of ChatAdapter or JSONAdapter; any other prompt gets plain text.

    A ReAct step is answered with the next tool, every other prediction with all its output fields.
    """
    inquiry = inquiry_of(prompt)
    fields = output_fields(prompt.system)
    if not fields:
        return answer(inquiry)
    is_step = {field.name for field in fields} >= _STEP_FIELDS
    values = _step(inquiry, fields) if is_step else _prediction(inquiry, fields)
    return rendered(values, as_json=wants_json(prompt.system))


def inquiry_of(prompt: Prompt) -> Inquiry:
    """Read the question, the conversation and the trajectory out of a prompt."""
    names = input_names(prompt.system)
    values = input_values(names, prompt.request)
    if CONVERSATION in values:
        earlier = conversation_messages(values[CONVERSATION])
    else:
        earlier = tuple(
            Said(role, _question(names, text))
            for role, text in prompt.before_request
            if role in (USER, ASSISTANT)
        )
    steps = trajectory_steps(values.get(TRAJECTORY, ""))
    return Inquiry(_question(names, prompt.request), earlier, (*steps, *prompt.steps))


def next_request(inquiry: Inquiry, offered: Collection[str]) -> ToolRequest | None:
    """The tool call to make now; None when nothing is left that one of the ``offered`` tools can do."""
    if recall(inquiry.question, inquiry.earlier) is not None:
        return None
    called = {step.tool for step in inquiry.steps}
    wanted = tool_requests(inquiry.question)
    return next((want for want in wanted if want.tool in offered and want.tool not in called), None)


def answer(inquiry: Inquiry) -> str:
    """The answer in words, from the conversation or from what the tools said."""
    recalled = recall(inquiry.question, inquiry.earlier)
    if recalled is not None:
        return recalled
    results = {step.tool: _result(step) for step in inquiry.steps}
    wanted = tool_requests(inquiry.question)
    if wanted:
        return "\n".join(results.get(want.tool) or _missing(want.tool) for want in wanted)
    return noted(inquiry.question) or INTRODUCTION


def _question(names: Sequence[str], text: str) -> str:
    """The input a person would call the question: the one of that name, else the first that is text."""
    values = input_values(names, text)
    asked = [value for name, value in values.items() if name not in (CONVERSATION, TRAJECTORY)]
    return values.get("question", asked[0] if asked else text)


def _step(inquiry: Inquiry, fields: Sequence[OutputField]) -> dict[str, Any]:
    tool_field = next(field for field in fields if field.name == "next_tool_name")
    offered = re.findall(r"'([^']*)'", tool_field.type_name)
    request = next_request(inquiry, offered)
    thought = f"The {request.tool} tool can answer this." if request else "Nothing more is needed."
    request = request or _FINISH
    known = {
        "next_thought": thought,
        "next_tool_name": request.tool,
        "next_tool_args": dict(request.arguments),
    }
    return {field.name: known.get(field.name, value_of(field, thought)) for field in fields}


def _prediction(inquiry: Inquiry, fields: Sequence[OutputField]) -> dict[str, Any]:
    text = answer(inquiry)
    tools = ", ".join(step.tool for step in inquiry.steps if step.tool != _FINISH.tool)
    reasoning = (
        f"The answer comes from: {tools}." if tools else "No tool was used; a fixed rule answers this."
    )
    return {field.name: value_of(field, reasoning if field.name == "reasoning" else text) for field in fields}


def _result(step: Step) -> str:
    if not step.observation.startswith(_FAILED):
        return step.observation
    reason = _REASON.search(step.observation)
    return f"The {step.tool} tool failed: {reason[1]}" if reason else f"The {step.tool} tool failed."


def _missing(tool: str) -> str:
    return (
        f"The offline demo engine, which is no language model, needs the {tool} tool for this, and it has "
        "not answered. For answers without it, set AGENT_MODEL and your provider's key."
    )
