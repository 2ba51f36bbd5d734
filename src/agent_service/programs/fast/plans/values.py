"""Values as DSPy writes them into a prompt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from agent_service.programs.fast.lm_internals import format_field_value

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import SchemaSerializer

_encode = json.JSONEncoder(ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring
_SCALARS = frozenset({int, float, bool, type(None)})
IMMUTABLE = _SCALARS | {str}
"""Types whose text never changes once it is formatted."""
_CONTAINERS = {kind: TypeAdapter(kind).serializer for kind in (dict, list, tuple)}


def formatted(field: FieldInfo, value: Any) -> str:
    """``value`` in the place of ``field``, exactly as ``dspy.adapters.utils.format_field_value`` has it."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return] # mypy does not follow the comparison
    if kind in _SCALARS:
        return str(value)
    if kind in _CONTAINERS and not (kind is list and field.annotation is str):
        return _as_json(_CONTAINERS[kind], value)
    return format_field_value(field, value)  # type: ignore[no-any-return] # untyped


def is_constant(value: Any) -> bool:
    """Whether the text of ``value`` stays as it is, provided that nobody has the container in hand."""
    kind = type(value)
    return kind in IMMUTABLE or (kind is dict and all(type(item) in IMMUTABLE for item in value.values()))


def _is_ascii(value: Any) -> bool:
    return type(value) is str and value.isascii()


def _as_json(serializer: SchemaSerializer, value: Any) -> str:
    if type(value) is dict and all(map(_is_ascii, value)) and all(map(_is_ascii, value.values())):
        return f"{{{', '.join([f'{_quoted(name)}: {_quoted(text)}' for name, text in value.items()])}}}"
    try:
        jsonable = serializer.to_python(value, mode="json", fallback=str)
    except Exception:  # noqa: BLE001 - DSPy takes the text of whatever cannot be serialized
        return str(value)
    return _encode(jsonable)
