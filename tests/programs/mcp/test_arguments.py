"""A tool's JSON schema as arguments of a tool of DSPy's."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from agent_service.programs.mcp.arguments import Arguments


def of(properties: dict[str, Any], *required: str, **more: Any) -> Arguments:
    return Arguments.of({"type": "object", "properties": properties, "required": list(required), **more})


def test_required_arguments_keep_their_schema() -> None:
    """Enums and nested objects included."""
    city = {"type": "string", "enum": ["Berlin", "Rome"], "description": "Where"}
    days = {"type": "array", "items": {"type": "object", "properties": {"day": {"type": "integer"}}}}
    assert of({"city": city, "days": days}, "city", "days").schemas == {"city": city, "days": days}


def test_what_may_be_left_out_has_a_default() -> None:
    """Models are told by it, and DSPy requires of a model every argument without one."""
    optional = of({"unit": {"type": "string", "enum": ["C", "F"]}, "n": {"type": "integer", "default": 3}})
    assert optional.schemas == {
        "unit": {"type": ["string", "null"], "enum": ["C", "F", None], "default": None},
        "n": {"type": "integer", "default": 3},
    }
    told = dspy.Tool(
        lambda **_: None, name="t", args=dict(optional.schemas), arg_types={}
    ).format_as_litellm_function_call()
    assert told["function"]["parameters"]["required"] == []


def test_null_leaves_an_optional_argument_out() -> None:
    """Models write it for what they do not want to give; the server's schema may not allow it."""
    arguments = of({"a": {"type": "string"}, "b": {"type": ["string", "null"], "default": "x"}})
    assert arguments.sent({"a": None, "b": None}) == {"b": None}


def test_a_missing_argument_is_told_by_name() -> None:
    """Without asking the server."""
    with pytest.raises(ValueError, match=r"Arg city, day is missing\."):
        of({"city": {}, "day": {}}, "day", "city").sent({})


def test_references_are_put_in_place() -> None:
    """A model sees one argument's schema alone, without the definitions."""
    arguments = of(
        {"at": {"$ref": "#/$defs/Point", "description": "Where"}, "any": {"$ref": "#/definitions/a~1b"}},
        "at",
        "any",
        **{"$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}}}},
        definitions={"a/b": {"type": "string"}},
    )
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "description": "Where"}
    assert arguments.schemas == {"at": point, "any": {"type": "string"}}


def test_a_schema_that_holds_itself_ends() -> None:
    """Where it would begin again, anything is allowed; the server checks it."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#/$defs/Tree"}}}
    arguments = of({"tree": {"$ref": "#/$defs/Tree"}}, "tree", **{"$defs": {"Tree": tree}})
    assert arguments.schemas["tree"] == {"type": "object", "properties": {"child": {}}}


def test_a_boolean_is_a_schema() -> None:
    """True allows anything, false nothing."""
    assert of({"a": True, "b": False}, "a", "b").schemas == {"a": {}, "b": {"not": {}}}


@pytest.mark.parametrize(("more", "is_open"), [({}, False), ({"additionalProperties": True}, True)])
def test_other_arguments_only_where_the_schema_says_so(more: dict[str, Any], is_open: bool) -> None:
    """A name that a model made up is told to it."""
    assert of({}, **more).is_open is is_open


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "properties": {"x": {"type": "no such type"}}}, "its schema is not valid"),
        ({"type": "array"}, "its arguments are not an object"),
        ({"properties": {"x": {"$ref": "#/$defs/X"}}}, "refers to #/\\$defs/X, which is not there"),
        ({"properties": {"x": {"$ref": "http://h/x"}}}, "refers to http://h/x, which is not part of it"),
    ],
)
def test_a_schema_that_is_none_is_refused(schema: dict[str, Any], said: str) -> None:
    """At the start, not at the first call; and nothing is fetched for it."""
    with pytest.raises(ValueError, match=said):
        Arguments.of(schema)
