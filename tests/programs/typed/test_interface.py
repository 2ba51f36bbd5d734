"""Inputs and outputs as JSON."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from agent_service.core.errors import InvalidRequestError
from agent_service.programs.typed.interface import TypedField, TypedInterface, text_interface
from agent_service.programs.typed.json_values import as_json_value


class Colour(enum.Enum):
    """Some."""

    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int | None = None


@dataclass
class Place:
    """Somewhere."""

    city: str


def interface(**types: Any) -> TypedInterface:
    """One that takes and gives fields of these types."""
    fields = [TypedField(name, kind) for name, kind in types.items()]
    return TypedInterface(fields, fields, write=as_json_value)


TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (Literal["good", "bad", 3], st.sampled_from(["good", "bad", 3])),
    (Colour, st.sampled_from(Colour)),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.just(timezone.utc))),
    (Person, st.builds(Person, name=st.text(), age=st.none() | st.integers())),
    (Place, st.builds(Place, city=st.text())),
]


def nested(kind: Any, values: st.SearchStrategy[Any]) -> list[tuple[Any, st.SearchStrategy[Any]]]:
    """The type alone and within others."""
    return [
        (kind, values),
        (list[kind], st.lists(values, max_size=3)),
        (dict[str, kind], st.dictionaries(st.text(), values, max_size=3)),
        (kind | None, st.none() | values),
        (tuple[kind, int], st.tuples(values, st.integers())),
    ]


@st.composite
def fields_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Some fields of any types, with a value each."""
    names = draw(st.lists(st.from_regex(r"[a-z_][a-z_0-9]{0,8}", fullmatch=True), min_size=1, unique=True))
    chosen = {name: draw(st.sampled_from(nested(*draw(st.sampled_from(TYPES))))) for name in names[:4]}
    return {name: kind for name, (kind, _) in chosen.items()}, {
        name: draw(values) for name, (_, values) in chosen.items()
    }


@given(fields_and_values())
def test_what_is_written_is_read_again(drawn: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Through JSON text, and the JSON is what the schema says. Any field name will do."""
    types, values = drawn
    typed = interface(**types)

    written = json.loads(json.dumps(typed.written(values), ensure_ascii=False, allow_nan=False))

    Draft202012Validator(dict(typed.input_schema)).validate(written)
    Draft202012Validator(dict(typed.output_schema)).validate(written)
    assert typed.read(written) == values


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
)


@given(ANYTHING)
def test_whatever_is_sent_is_read_or_refused(value: Any) -> None:
    """In no other way, and each field that is wrong is named."""
    named: tuple[str, ...] = ()
    try:
        interface(number=int, words=list[str]).read({"number": value, "words": value})
    except InvalidRequestError as error:
        named = tuple(field.field for field in error.fields)
    assert "inputs.words" in str(named) or "inputs.number" in named


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "3"),
        (int, 3.5),
        (int, True),
        (str, 3),
        (bool, "yes"),
        (bool, 1),
        (float, "1.5"),
        (list[str], "abc"),
        (Literal["a"], "A"),
        (Person, {"name": "x", "age": "4"}),
        (Annotated[int, Field(ge=1)], 0),
    ],
)
def test_json_is_read_strictly(kind: Any, value: Any) -> None:
    """A text is no number and 1 is not true."""
    with pytest.raises(InvalidRequestError, match=r"inputs\.x"):
        interface(x=kind).read({"x": value})


@pytest.mark.parametrize("privileged", ["config", "lm", "demos", "signature", "max_iters"])
def test_what_is_no_input_is_refused(privileged: str) -> None:
    """DSPy's modules take arguments that a caller may not send."""
    with pytest.raises(InvalidRequestError, match=f"inputs.{privileged}"):
        text_interface(["question"], ["answer"]).read({"question": "x", privileged: {}})


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_inputs_are_an_object(value: Any) -> None:
    """The field itself is named."""
    with pytest.raises(InvalidRequestError) as refused:
        text_interface(["question"], ["answer"]).read(value)
    assert [field.field for field in refused.value.fields] == ["inputs"]


def test_what_may_be_left_out_is_left_to_the_program() -> None:
    """Its default is shown, and not sent."""
    fields = [TypedField("style", str, "how it sounds", is_required=False, default="plain")]
    typed = TypedInterface(fields, fields)

    assert typed.read({}) == {}
    assert typed.input_schema["properties"]["style"]["default"] == "plain"
    assert typed.input_schema["properties"]["style"]["description"] == "how it sounds"
    assert typed.input_schema.get("required", []) == []


def test_a_default_without_a_form_as_json_is_not_shown() -> None:
    """It is the program's own affair."""
    typed = TypedInterface([TypedField("x", str, is_required=False, default=object())], [])
    assert "default" not in typed.input_schema["properties"]["x"]


def test_only_so_many_problems_are_told() -> None:
    """A request with a thousand wrong fields does not make an answer of a thousand lines."""
    with pytest.raises(InvalidRequestError) as refused:
        text_interface([], []).read({"x" * 100 + str(at): at for at in range(100)})
    assert len(refused.value.fields) == 20
    assert all(len(field.field) <= 64 for field in refused.value.fields)
