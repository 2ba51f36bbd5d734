"""A tool's JSON schema as the arguments of a ``dspy.Tool``.

DSPy's own conversion leaves out which arguments may be left out, never ends on a schema that refers to
itself, and fails on a list of types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCAL = "#/"


@dataclass(frozen=True)
class Arguments:
    """What a tool takes.

    Attributes:
        schemas: JSON schema of each argument, without references.
        required: those that must be given.
        absent_when_null: those for which a model may write null to leave them out.
        is_open: whether others may be given too.
    """

    schemas: Mapping[str, dict[str, Any]]
    required: frozenset[str]
    absent_when_null: frozenset[str]
    is_open: bool

    @classmethod
    def of(cls, schema: dict[str, Any]) -> Arguments:
        """Read a tool's input schema.

        Raises:
            ValueError: for what is no JSON schema of an object.
        """
        _check(schema)
        required = frozenset(schema.get("required", ()))
        properties = {
            name: _object(_resolved(given, schema, ()))
            for name, given in schema.get("properties", {}).items()
        }
        optional = {name: given for name, given in properties.items() if name not in required}
        widened = {name: _or_null(given) for name, given in optional.items() if "default" not in given}
        return cls(
            schemas={**properties, **widened},
            required=required & properties.keys(),
            absent_when_null=frozenset(widened),
            is_open=bool(schema.get("additionalProperties")),
        )

    def sent(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the server is sent of the arguments that a model gave.

        Raises:
            ValueError: when one is missing.
        """
        if missing := sorted(self.required - given.keys()):
            raise ValueError(f"Arg {', '.join(missing)} is missing.")
        return {
            name: value
            for name, value in given.items()
            if value is not None or name not in self.absent_when_null
        }


def _check(schema: dict[str, Any]) -> None:
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"its schema is not valid: {error.message}") from error
    if schema.get("type", "object") != "object":
        raise ValueError("its arguments are not an object")


def _resolved(value: Any, whole: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """The value with what it refers to in its place; anything is allowed where a schema holds itself."""
    if isinstance(value, list):
        return [_resolved(item, whole, within) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {key: _resolved(item, whole, within) for key, item in value.items() if key != "$ref"}
    target = value.get("$ref")
    if not isinstance(target, str) or target in within:
        return rest
    found = _resolved(_found(target, whole), whole, (*within, target))
    return {**_object(found), **rest}


def _found(target: str, whole: Any) -> Any:
    """Source: RFC 6901, JSON pointer."""
    if not target.startswith(_LOCAL):
        raise ValueError(f"its schema refers to {target}, which is not part of it")
    found = whole
    for part in target.removeprefix(_LOCAL).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            raise ValueError(f"its schema refers to {target}, which is not there")
        found = found[name]
    return found


def _object(schema: Any) -> dict[str, Any]:
    """``true`` and ``false`` are schemas too."""
    if isinstance(schema, dict):
        return schema
    return {} if schema else {"not": {}}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same for an argument that may be left out, which models tell by its default."""
    widened = {**schema, "default": None}
    if isinstance(schema.get("type"), str) and schema["type"] != "null":
        widened["type"] = [schema["type"], "null"]
    if "enum" in schema and None not in schema["enum"]:
        widened["enum"] = [*schema["enum"], None]
    return widened
