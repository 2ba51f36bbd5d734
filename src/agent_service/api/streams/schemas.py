"""What callers of streams may send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_service.api.schemas import UserId  # noqa: TC001 - pydantic resolves annotations at run time


class ResumeParameters(BaseModel):
    """Which stream to pick up."""

    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The X-Request-ID of the query."),
    ]
    user_id: UserId


class StreamParameters(BaseModel):
    """How a query is to be streamed."""

    model_config = ConfigDict(extra="forbid")

    on_disconnect: Annotated[
        Literal["stop", "continue"],
        Field(
            description="What becomes of the run when the client leaves: it is stopped, or goes on and its "
            "stream can be picked up again."
        ),
    ] = "stop"
