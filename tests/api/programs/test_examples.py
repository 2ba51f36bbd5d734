"""Examples that fit their schemas."""

from __future__ import annotations

import enum
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import dspy
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter

from agent_service.api.programs.examples import example_of
from agent_service.programs.typed.texts import as_texts


class Colour(enum.Enum):
    """Some."""

    RED = "red"


class Node(BaseModel):
    """It holds more of its kind."""

    value: Annotated[int, Field(ge=7)]
    inner: list[Node]


@pytest.mark.parametrize(
    "kind",
    [
        str,
        int,
        float,
        bool,
        None,
        Any,
        date,
        datetime,
        timedelta,
        UUID,
        Colour,
        Literal["a", "b"],
        Literal["a"],
        int | None,
        list[str],
        list[Colour],
        dict[str, int],
        tuple[int, str],
        set[int],
        dspy.Image,
        dspy.Audio,
        dspy.File,
        dspy.Code,
        Annotated[int, Field(gt=0, le=9)],
    ],
)
def test_an_example_fits(kind: Any) -> None:
    """Of each type that a signature may have."""
    schema = TypeAdapter(as_texts(kind)).json_schema()
    Draft202012Validator(schema).validate(example_of(schema))


def test_an_example_ends() -> None:
    """Also of a type that holds itself."""
    found = example_of(TypeAdapter(Node).json_schema())
    assert found["value"] == 7
    assert found["inner"][0]["inner"][0]["value"] == 7
