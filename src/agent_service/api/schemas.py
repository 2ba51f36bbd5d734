"""The shapes that travel over HTTP: what callers may send and what they can rely on getting.

Requests are strict and refuse unknown fields. Answers may gain fields, none is renamed or removed.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves annotations at run time
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from agent_service.core.messages import BASE_VERSION, DEFAULT_SESSION_ID

_LARGEST_SEQ = 2**63 - 1
_READABLE = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"
"""For readers of the schema: Python, which decides, counts more characters as white space than ECMA-262."""


def _printable(value: str) -> str:
    """Refuse what cannot be told apart on a screen; U+FFFD stands for bytes that were no text."""
    if not value.isprintable() or "\N{REPLACEMENT CHARACTER}" in value or not value.strip():
        raise PydanticCustomError("not_printable", "must be printable characters and not only spaces")
    return value


# No pattern says it in every dialect of regular expressions, so a format of our own names the rule.
_Identifier = Annotated[
    str,
    Field(min_length=1, max_length=128, json_schema_extra={"format": "printable"}),
    AfterValidator(_printable),
]
UserId = Annotated[_Identifier, Field(description="Who asks: 1 to 128 printable characters.")]
SessionId = Annotated[
    _Identifier, Field(description="Which of the user's conversations: 1 to 128 printable characters.")
]


ProgramVersion = Annotated[
    str | None,
    Field(
        description="Which version of the program answered: the state that it was given, by its content, or "
        f"`{BASE_VERSION}` for none; null when no more than the turn is known of a repeated answer."
    ),
]


def _request(**example: Any) -> ConfigDict:
    # Questions rarely repeat; pydantic would keep the short ones, up to 16 384, in case they do.
    return ConfigDict(
        extra="forbid", strict=True, cache_strings="keys", json_schema_extra={"examples": [example]}
    )


def answer_like(**example: Any) -> ConfigDict:
    """The configuration of an answer's model, with an example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class QueryRequest(BaseModel):
    """One question to the agent. Validation needs the context ``{"max_question_chars": int}``."""

    model_config = _request(user_id="ada", question="What is 2+2?")

    user_id: UserId
    question: Annotated[
        str,
        Field(
            min_length=1,
            description="The question, not only white space and without the NUL character.",
            json_schema_extra={"pattern": _READABLE},
        ),
    ]
    session_id: Annotated[
        SessionId | None, Field(description=f'Which conversation; "{DEFAULT_SESSION_ID}" when left out.')
    ] = None

    @field_validator("question")
    @classmethod
    def _readable(cls, question: str, info: ValidationInfo) -> str:
        limit = (info.context or {})["max_question_chars"]
        if len(question) > limit:
            raise PydanticCustomError("too_long", "must have at most {limit} characters", {"limit": limit})
        if "\0" in question:
            raise PydanticCustomError("nul", "must not contain the NUL character")
        if not question.strip():
            raise PydanticCustomError("blank", "must not be only white space")
        return question


class TokenUsage(BaseModel):
    """What the language model charged for."""

    model_config = answer_like(prompt_tokens=412, completion_tokens=38, total_tokens=450, lm_calls=2)

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    lm_calls: Annotated[int, Field(description="Calls of the language model, retries included.")]


class QueryResponse(BaseModel):
    """The agent's answer and what it took."""

    model_config = answer_like(
        answer="4",
        user_id="ada",
        question="What is 2+2?",
        reasoning_steps=1,
        latency_ms=812,
        request_id="6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a",
        session_id=DEFAULT_SESSION_ID,
        model="openai/gpt-4o-mini",
        tools_used=["calculator"],
        usage={"prompt_tokens": 412, "completion_tokens": 38, "total_tokens": 450, "lm_calls": 2},
        stored=True,
        seq=8,
        degraded=[],
        program_version="3f1b9c0d5e7a",
    )

    answer: str
    user_id: str
    question: str
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


class HistoryErase(BaseModel):
    """What to erase."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    session_id: Annotated[SessionId | None, Field(description="All of the user's when left out.")] = None


class HistoryRead(BaseModel):
    """Which stretch of which conversation to read."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    session_id: SessionId = DEFAULT_SESSION_ID
    limit: Annotated[int, Field(ge=1, le=100, description="Turns to return at most.")] = 20
    before_seq: Annotated[
        int | None,
        Field(ge=1, le=_LARGEST_SEQ, description="Only turns before this one; the newest when left out."),
    ] = None


class HistoryTurn(BaseModel):
    """One question with its answer."""

    seq: Annotated[int, Field(description="Place in the conversation, from 1.")]
    question: str
    answer: str
    at: Annotated[datetime, Field(description="When it was answered (RFC 3339, UTC).")]
    turn_id: str
    model: str
    program: Annotated[str, Field(description="Which program answered; empty for what a client told.")]
    inputs: Annotated[
        dict[str, Any] | None, Field(description="By name, when the program takes no plain question.")
    ]
    outputs: Annotated[dict[str, Any] | None, Field(description="The same of its outputs.")]
    forked_from: Annotated[
        int | None,
        Field(description="The last seq it was answered on sight of, when turns came between; else null."),
    ]


class HistoryPage(BaseModel):
    """A stretch of a conversation, newest turn last."""

    model_config = answer_like(
        user_id="ada",
        session_id=DEFAULT_SESSION_ID,
        turns=[
            {
                "seq": 1,
                "question": "What is 2+2?",
                "answer": "4",
                "at": "2026-01-31T12:00:00Z",
                "turn_id": "6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a",
                "model": "openai/gpt-4o-mini",
                "program": "default",
                "inputs": None,
                "outputs": None,
                "forked_from": None,
            }
        ],
        next_before_seq=None,
    )

    user_id: str
    session_id: str
    turns: list[HistoryTurn]
    next_before_seq: Annotated[
        int | None,
        Field(description="Send it as before_seq to read the older turns; null when none are left."),
    ]


class HistoryErased(BaseModel):
    """What was erased."""

    model_config = answer_like(user_id="ada", session_id=None, deleted_turns=12)

    user_id: str
    session_id: Annotated[str | None, Field(description="Null when all of the user's were erased.")]
    deleted_turns: int


class SessionsRead(BaseModel):
    """Which stretch of a user's conversations to list."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    limit: Annotated[int, Field(ge=1, le=100, description="Conversations to return at most.")] = 20
    after: Annotated[
        SessionId | None, Field(description="Only conversations behind this session_id in the order.")
    ] = None


class Session(BaseModel):
    """One conversation of a user."""

    session_id: str
    turns: Annotated[int, Field(description="Turns that are kept.")]
    last_seq: Annotated[int, Field(description="The newest turn's place.")]
    last_at: Annotated[datetime, Field(description="When the newest was answered (RFC 3339, UTC).")]


class SessionPage(BaseModel):
    """A stretch of a user's conversations."""

    model_config = answer_like(
        user_id="ada",
        sessions=[
            {
                "session_id": DEFAULT_SESSION_ID,
                "turns": 8,
                "last_seq": 8,
                "last_at": "2026-01-31T12:00:09Z",
            }
        ],
        next_after=None,
    )

    user_id: str
    sessions: list[Session]
    next_after: Annotated[
        str | None, Field(description="Send it as after to list the next ones; null when none are left.")
    ]


class ProblemField(BaseModel):
    """One thing wrong with one field of a request."""

    field: Annotated[str, Field(description="Name of the field, parameter or header.")]
    problem: Annotated[str, Field(description="What is allowed there.")]


class Problem(BaseModel):
    """An error (RFC 9457). ``errors`` is there for a request that fails validation.

    ``reasoning_steps`` and ``usage`` are there for a query that failed after its program began.
    """

    model_config = answer_like(
        type="urn:agent-service:error:pool_exhausted",
        title="All agents are busy",
        status=503,
        detail="All agents are busy.",
        error="pool_exhausted",
        request_id="6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a",
    )

    type: Annotated[str, Field(description="Stable URI of the kind of error.")]
    title: Annotated[str, Field(description="Summary of the kind, the same at every occurrence.")]
    status: int
    detail: Annotated[str, Field(description="What happened this time.")]
    error: Annotated[str, Field(description="Stable code: decide by this.")]
    request_id: Annotated[str, Field(description="The same as the X-Request-ID header.")]
    errors: Annotated[list[ProblemField], Field(description="Each field that is wrong.")] = []
    reasoning_steps: Annotated[int, Field(description="Tool steps taken until then.")] = 0
    usage: Annotated[TokenUsage | None, Field(description="What was charged until then.")] = None
