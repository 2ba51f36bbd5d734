"""What the service knows of a program's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from pydantic import BaseModel

from agent_service.programs.fields import Fields, fields_of
from agent_service.programs.loader import LoadError
from agent_service.programs.specs import interface_of, spec_of, without_json

if TYPE_CHECKING:
    from collections.abc import Callable


class Case(BaseModel):
    """A model with an image in its depth."""

    photos: list[dspy.Image]


class Opaque:
    """A class that JSON knows nothing of."""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Opaque, "is of the type Opaque, which has no form as JSON"),
        (Case, "holds a dspy.Image within Case"),
        (list[Case], "holds a dspy.Image within"),
        (dspy.Tool, "Tool"),
    ],
)
def test_an_input_that_cannot_be_sent_is_refused_or_left_out(kind: Any, says: str) -> None:
    """An image within a model would be read by DSPy, not by the service. Optional ones are not offered."""
    with pytest.raises(LoadError, match=says):
        interface_of(Fields({"x": kind}, {"answer": str}))

    fields = Fields({"question": str, "x": kind}, {"answer": str}, optional=frozenset({"x"}))
    assert says in without_json(fields)["x"]
    spec = spec_of("p", "m", fields, ())
    assert (spec.inputs, spec.is_plain) == (("question",), True)


def test_an_output_of_any_type_can_be_given() -> None:
    """Of one that JSON knows nothing of, the schema says nothing."""
    interface = interface_of(Fields({"question": str}, {"answer": Opaque, "photo": dspy.Image}))
    properties = interface.output_schema["properties"]
    assert "type" not in properties["answer"]
    assert properties["photo"]["type"] == "string"


def test_images_stand_beside_the_conversation() -> None:
    """What the service fills is no input."""
    signature = "photos: list[dspy.Image], history: dspy.History -> answer"
    spec = spec_of("p", "m", fields_of(dspy.Predict(signature)), ())
    assert spec.inputs == ("photos",)
    read: Callable[[object], Any] = spec.interface.read
    assert isinstance(read({"photos": ["https://example.org/a.png"]})["photos"][0], dspy.Image)
