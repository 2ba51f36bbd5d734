"""What OpenAI's clients are answered, for the OpenAPI document; OpenAI's reference has every field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from agent_service.api.schemas import answer_like


class Model(BaseModel):
    """A program, as OpenAI describes models."""

    model_config = answer_like(id="default", object="model", created=0, owned_by="agent-service")

    id: str
    object: Literal["model"] = "model"
    created: Annotated[int, Field(description="0: programs have no date.")] = 0
    owned_by: str = "agent-service"


class ModelList(BaseModel):
    """All programs."""

    model_config = answer_like(
        object="list", data=[{"id": "default", "object": "model", "created": 0, "owned_by": "agent-service"}]
    )

    object: Literal["list"] = "list"
    data: list[Model]


class Completion(BaseModel):
    """A chat completion; OpenAI's reference has every field."""

    model_config = answer_like(
        id="chatcmpl-6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a",
        object="chat.completion",
        created=1769860800,
        model="default",
        choices=[
            {
                "index": 0,
                "message": {"role": "assistant", "content": "4", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        usage={"prompt_tokens": 412, "completion_tokens": 38, "total_tokens": 450},
        system_fingerprint="3f1b9c0d5e7a",
    )

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any]
    system_fingerprint: Annotated[str | None, Field(description="The program_version that answered.")]


class ProgramResponse(BaseModel):
    """A response; OpenAI's reference has every field."""

    model_config = answer_like(
        id="resp_6f1c1c5e0f434b439d0a3d0f5c1e2b7a_dHJpcA",
        object="response",
        created_at=1769860800,
        status="completed",
        model="default",
        output=[
            {
                "id": "msg_6f1c1c5e0f434b439d0a3d0f5c1e2b7a_dHJpcA",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "4", "annotations": [], "logprobs": []}],
            }
        ],
        usage={"input_tokens": 412, "output_tokens": 38, "total_tokens": 450},
    )

    id: str
    object: str
    created_at: int
    status: str
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None


class ErrorDetail(BaseModel):
    """What went wrong; ``code`` is the stable code of the service's errors."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """An error in OpenAI's shape."""

    model_config = answer_like(
        error={
            "message": "All agents are busy.",
            "type": "server_error",
            "param": None,
            "code": "pool_exhausted",
        }
    )

    error: ErrorDetail
