"""What callers of a program by name send and get; its own fields come from its signature."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent_service.api.schemas import ProgramVersion, SessionId, TokenUsage, UserId, answer_like
from agent_service.core.messages import DEFAULT_SESSION_ID


class ProgramRequest(BaseModel):
    """One question to a program, by the names of its inputs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: UserId
    inputs: Annotated[dict[str, Any], Field(description="The program's inputs by name.")]
    session_id: Annotated[
        SessionId | None, Field(description=f'Which conversation; "{DEFAULT_SESSION_ID}" when left out.')
    ] = None


class ProgramAnswer(BaseModel):
    """The program's outputs and what they took."""

    program: str
    outputs: Annotated[dict[str, Any], Field(description="The program's outputs by name.")]
    user_id: str
    reasoning_steps: Annotated[int, Field(description="Tool steps taken, the finishing one not counted.")]
    latency_ms: Annotated[int, Field(description="Time from admission to answer, in milliseconds.")]
    request_id: Annotated[str, Field(description="The same as the X-Request-ID header.")]
    session_id: str
    model: Annotated[str, Field(description="The model that answered.")]
    tools_used: Annotated[list[str], Field(description="Names of the tools called, in order.")]
    usage: TokenUsage
    stored: Annotated[bool, Field(description="Whether the turn is durably kept.")]
    seq: Annotated[int | None, Field(description="The turn's place; null when it is not stored.")]
    degraded: Annotated[list[str], Field(description="What the answer had to do without; normally empty.")]
    program_version: ProgramVersion


_EXAMPLE: dict[str, Any] = {
    "name": "default",
    "is_default": True,
    "is_plain": True,
    "model": "openai/gpt-4o-mini",
    "version": None,
    "tools": ["calculator"],
    "inputs": {
        "type": "object",
        "properties": {"question": {"type": "string"}},
        "required": ["question"],
        "additionalProperties": False,
    },
    "outputs": {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]},
}


class ServedProgram(BaseModel):
    """A program: what it takes, what it gives, and with what."""

    model_config = answer_like(**_EXAMPLE)

    name: str
    is_default: Annotated[bool, Field(description="Whether /api/v1/query asks it.")]
    is_plain: Annotated[
        bool, Field(description="Whether it takes one question and gives one answer, also as a model of /v1.")
    ]
    model: Annotated[str, Field(description="The language model it is served with.")]
    version: Annotated[
        str | None, Field(description="Of the state that it was started with, releases apart; null for none.")
    ]
    tools: list[str]
    inputs: Annotated[dict[str, Any], Field(description="JSON Schema of its inputs.")]
    outputs: Annotated[dict[str, Any], Field(description="JSON Schema of its outputs.")]


class ServedProgramList(BaseModel):
    """All programs, the default first."""

    model_config = answer_like(programs=[_EXAMPLE])

    programs: list[ServedProgram]
