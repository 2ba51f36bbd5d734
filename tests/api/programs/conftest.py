"""A program that takes no plain question, and one that does, behind the app."""

from __future__ import annotations

import enum
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from agent_service.core.messages import Answer, Query, Usage
from agent_service.programs.base import ProgramSpec
from agent_service.programs.typed.interface import TypedField, TypedInterface
from tests.api.conftest import FAKE, Service


class Colour(enum.Enum):
    """Some."""

    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    """Somebody."""

    name: str
    friends: list[Person] = []


TYPED = ProgramSpec(
    name="tri-age",
    model="fake-model",
    inputs=("message", "colour", "people", "count"),
    outputs=("label", "who"),
    interface=TypedInterface(
        [
            TypedField("message", str, "what was written"),
            TypedField("colour", Colour),
            TypedField("people", list[Person], is_required=False),
            TypedField("count", Annotated[int, Field(ge=1)], is_required=False, default=3),
        ],
        [TypedField("label", str), TypedField("who", Person)],
    ),
    tools=("look_up",),
    version="0123456789ab",
)
OUTPUTS = {"label": "good", "who": {"name": "Ada", "friends": []}, "big": 10**30}


async def reply(query: Query) -> Answer:
    """Answer with the same outputs always."""
    return Answer(
        query=query,
        text="",
        model="fake-model",
        reasoning_steps=1,
        tools_used=("look_up",),
        usage=Usage(prompt_tokens=10, completion_tokens=5, lm_calls=2),
        latency_seconds=0.1234,
        stored=True,
        seq=3,
        outputs=OUTPUTS,
    )


@pytest.fixture
def service() -> Service:
    """A plain program is the default."""
    service = Service(programs=(FAKE, TYPED))
    service.answering.script = reply
    return service
