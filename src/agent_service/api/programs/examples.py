"""An example of a value that a JSON Schema, as pydantic writes it, describes."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_MAX_DEPTH = 8
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.org",
    "time": "12:00:00Z",
    "uri": "https://example.org",
    "uuid": "6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a",
}
_PLAIN: dict[str, Any] = {"boolean": True, "integer": 1, "number": 1.5, "null": None}
_PICTURE = "data:image/png;base64,iVBORw0KGgo="


def example_of(schema: Schema) -> Any:
    """A value as ``schema`` wants it, as far as its types go; references are those within it."""
    return _example(schema, schema.get("$defs", {}), 0)


def _example(schema: Schema, definitions: Schema, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if "$ref" in schema:
        return _example(definitions[schema["$ref"].rpartition("/")[2]], definitions, depth + 1)
    told = [schema[known] for known in ("const", "default") if known in schema]
    told += [schema[several][0] for several in ("examples", "enum") if schema.get(several)]
    if told:
        return told[0]
    choices = [schema[choice][0] for choice in ("anyOf", "oneOf", "allOf") if choice in schema]
    if choices:
        return _example(choices[0], definitions, depth + 1)
    return _of_type(schema, definitions, depth)


def _of_type(schema: Schema, definitions: Schema, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            return _object(schema, definitions, depth)
        case "array":
            return _array(schema, definitions, depth)
        case "integer" | "number":
            return schema.get("minimum", schema.get("maximum", _PLAIN[schema["type"]]))
        case "string":
            return _text(schema)
        case other:
            return _PLAIN.get(str(other), "text")


def _object(schema: Schema, definitions: Schema, depth: int) -> Any:
    needed = schema.get("required", ())
    return {
        name: _example(member, definitions, depth + 1)
        for name, member in schema.get("properties", {}).items()
        if name in needed
    }


def _array(schema: Schema, definitions: Schema, depth: int) -> Any:
    fixed = schema.get("prefixItems")
    if fixed is not None:
        return [_example(member, definitions, depth + 1) for member in fixed]
    return [_example(schema.get("items", {"type": "string"}), definitions, depth + 1)]


def _text(schema: Schema) -> str:
    pattern = schema.get("pattern", "")
    if "data:image" in pattern:
        return _PICTURE
    if pattern.startswith("^data:"):
        return "data:audio/wav;base64,UklGRg==" if "audio" in pattern else "data:text/plain;base64,aGk="
    return str(_FORMATS.get(schema.get("format", ""), "text"))
