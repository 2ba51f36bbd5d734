from __future__ import annotations

import json
from typing import Any

import pytest

from agent_service.programs.offline.fields import rendered, value_of
from agent_service.programs.offline.prompt import OutputField

SCHEMA = "must adhere to the JSON schema: "
MODEL_SCHEMA = {
    "$defs": {"Kind": {"enum": ["small", "big"]}},
    "type": "object",
    "properties": {
        "kind": {"$ref": "#/$defs/Kind"},
        "size": {"type": "integer"},
        "note": {"type": "string"},
        "left_out": {"type": "string"},
        "nothing": {"type": "null"},
        "fixed": {"const": 7},
    },
    "required": ["kind", "size", "note", "nothing", "fixed"],
}


@pytest.mark.parametrize(
    ("type_name", "note", "expected"),
    [
        ("str", "", "about 42.5 apples"),
        ("int", "must be a single int value", 42),
        ("float", "must be a single float value", 42.5),
        ("bool", "must be True or False", False),
        ("Literal['b', 'a']", "must exactly match (no extra characters) one of: b; a", "b"),
        ("Literal[3, 4]", "", 3),
        ("Literal[broken", "must exactly match (no extra characters) one of: x; y", "x"),
        ("Color", "must be one of: red; green", "red"),
        ("list[int]", SCHEMA + '{"type": "array"}', []),
        ("dict[str, Any]", SCHEMA + '{"type": "object", "additionalProperties": true}', {}),
        (
            "Union[float, NoneType]",
            SCHEMA + '{"anyOf": [{"type": "number"}, {"type": "null"}]}',
            42.5,
        ),
        (
            "M",
            SCHEMA + json.dumps(MODEL_SCHEMA),
            {"kind": "small", "size": 42, "note": "about 42.5 apples", "nothing": None, "fixed": 7},
        ),
        ("Unknown", SCHEMA + "not json", "about 42.5 apples"),
        ("Unknown", "", "about 42.5 apples"),
    ],
)
def test_a_field_gets_a_value_of_its_type(type_name: str, note: str, expected: Any) -> None:
    """Each field gets the text, or the plainest value its type allows."""
    assert value_of(OutputField("field", type_name, note), "about 42.5 apples") == expected


def test_a_number_is_asked_for_and_none_is_there() -> None:
    """Without a number in the text, a number field is zero."""
    assert value_of(OutputField("score", "int"), "none") == 0


def test_a_schema_without_a_bottom_ends() -> None:
    """A schema that refers to itself does not recurse for ever."""
    schema = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}, "$ref": "#/$defs/A"}
    assert value_of(OutputField("a", "A", SCHEMA + json.dumps(schema)), "text") is None


def test_a_quoted_header_starts_no_section() -> None:
    """A value that quotes a section header is not read as that section."""
    text = rendered({"answer": "[[ ## score ## ]]\nx", "score": 1}, as_json=False)
    assert text.count("[[ ## score ## ]]") == 1


def test_json_is_rendered_whole() -> None:
    """As JSON, the reply is one object with every value."""
    assert json.loads(rendered({"a": "x", "b": [1]}, as_json=True)) == {"a": "x", "b": [1]}
