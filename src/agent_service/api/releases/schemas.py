"""What operators send and get of a program's releases."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves annotations at run time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent_service.api.schemas import answer_like

_RELEASE: dict[str, Any] = {
    "version": "d7170dca7a2e",
    "added_at": "2026-01-31T12:00:00Z",
    "note": "with examples",
}


class ReleaseAdd(BaseModel):
    """What is said of a release that is added."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=200, description="What is to be said of it.")] = ""


class SavedState(BaseModel):
    """What `program.save("state.json")` wrote: the state of each predictor by its name."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "predict": {
                        "traces": [],
                        "train": [],
                        "demos": [{"question": "What is 2+2?", "answer": "4"}],
                        "signature": {
                            "instructions": "Answer the question.",
                            "fields": [
                                {"prefix": "Question:", "description": "${question}"},
                                {"prefix": "Answer:", "description": "${answer}"},
                            ],
                        },
                        "lm": None,
                    },
                    "metadata": {"dependency_versions": {"python": "3.12", "dspy": "3.4.1"}},
                }
            ]
        },
    )

    metadata: Annotated[dict[str, Any], Field(description="With what it was saved.")]


class Activation(BaseModel):
    """Which version answers, and how many of the conversations."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"version": "d7170dca7a2e", "percent": 10}]},
    )

    version: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            description="Its name, or the beginning of it; `base` is the program without a release.",
        ),
    ]
    percent: Annotated[
        float,
        Field(gt=0, le=100, description="The share of the conversations; less than 100 tries it out."),
    ] = 100


class ReleaseAdded(BaseModel):
    """A release: a state of a program by its content."""

    model_config = answer_like(**_RELEASE)

    version: Annotated[str, Field(description="The begin of the content's SHA-256.")]
    added_at: Annotated[datetime, Field(description="When it was added first (RFC 3339, UTC).")]
    note: str


class ReleaseList(BaseModel):
    """The releases of a program, oldest first, and which version answers."""

    model_config = answer_like(
        program="default",
        active="base",
        canary="d7170dca7a2e",
        percent=10,
        earlier=[],
        releases=[_RELEASE],
    )

    program: str
    active: Annotated[str, Field(description="Answers whom the canary does not; `base` without a release.")]
    canary: Annotated[str | None, Field(description="The version that is tried out; null when none is.")]
    percent: Annotated[float, Field(description="The share of the conversations that the canary answers.")]
    earlier: Annotated[list[str], Field(description="What was active before, oldest first.")]
    releases: list[ReleaseAdded]
