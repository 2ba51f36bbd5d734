"""Values of the type an output field asks for, made from one text."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.programs.offline.prompt import OutputField

_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_SCHEMA_NOTE = "must adhere to the JSON schema: "
_CHOICE_NOTE = "one of: "
_DEEPEST_SCHEMA = 8


def value_of(field: OutputField, text: str) -> Any:
    """A JSON value for ``field``: the text where text is asked for, else the plainest value of its type."""
    if field.type_name == "str":
        return text
    if field.type_name.startswith("Literal["):
        return _first_literal(field)
    if field.note.startswith(_SCHEMA_NOTE):
        return example(_schema(field.note), text)
    if _CHOICE_NOTE in field.note:
        return field.note.partition(_CHOICE_NOTE)[2].split("; ")[0]
    plain = {"int": "integer", "float": "number", "bool": "boolean"}
    return example({"type": plain.get(field.type_name, "string")}, text)


def example(schema: Mapping[str, Any], text: str) -> Any:
    """The plainest value that a JSON schema allows, with ``text`` for its strings. Best effort."""
    return _example(schema, text, schema.get("$defs", {}), _DEEPEST_SCHEMA)


def rendered(values: Mapping[str, Any], *, as_json: bool) -> str:
    """A reply that holds ``values``, as ChatAdapter or JSONAdapter reads it."""
    if as_json:
        return json.dumps(values)
    sections = [f"[[ ## {name} ## ]]\n{_section(value)}" for name, value in values.items()]
    return "\n\n".join([*sections, "[[ ## completed ## ]]\n"])


def _section(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("[[ ##", "[ [ ##")  # a quoted header must not start a section of its own


def _first_literal(field: OutputField) -> Any:
    try:
        return ast.literal_eval(f"[{field.type_name[len('Literal[') : -1]}]")[0]
    except (ValueError, SyntaxError, IndexError):
        return field.note.partition(_CHOICE_NOTE)[2].split("; ")[0]


def _schema(note: str) -> dict[str, Any]:
    try:
        schema = json.loads(note[len(_SCHEMA_NOTE) :])
    except ValueError:
        return {}
    return schema if isinstance(schema, dict) else {}


def _example(schema: Any, text: str, definitions: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth == 0:
        return None
    if "$ref" in schema:
        schema = {**definitions.get(str(schema["$ref"]).rpartition("/")[2], {}), **schema}
        del schema["$ref"]
    for choice in ("enum", "anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            first = schema[choice][0]
            return first if choice == "enum" else _example(first, text, definitions, depth - 1)
    if schema.get("type") == "object":
        members = schema.get("properties", {})
        required = schema.get("required", [])
        return {name: _example(members.get(name, {}), text, definitions, depth - 1) for name in required}
    return schema["const"] if "const" in schema else _scalar(schema.get("type"), text)


def _scalar(kind: Any, text: str) -> Any:
    number = _NUMBER.search(text)
    values: dict[Any, Any] = {
        "integer": int(float(number[0])) if number else 0,
        "number": float(number[0]) if number else 0.0,
        "boolean": False,
        "array": [],
        "null": None,
    }
    return values.get(kind, text)
