"""What callers of streams may send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


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
