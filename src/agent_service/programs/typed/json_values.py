"""What a program gave, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import dspy
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from agent_service.programs.typed.texts import text_of

_MAX_DEPTH = 100


def as_json_value(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON can hold it: numbers that are none become null, halves of surrogate pairs ``?``.

    Raises:
        TypeError: it has no such form, or goes more than 100 levels deep.
    """
    if depth > _MAX_DEPTH:
        raise TypeError("an output goes too deep")
    if value is None or isinstance(value, (bool, str, int, float)):
        return _scalar(value, depth)
    if isinstance(value, Enum):
        return as_json_value(value.value, depth + 1)
    if isinstance(value, Mapping):
        return {str(as_json_value(key)): as_json_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json_value(item, depth + 1) for item in value]
    return as_json_value(_converted(value), depth + 1)


def _scalar(value: Any, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case Enum():
            return as_json_value(value.value, depth + 1)
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case int():
            return int(value)
        case _:
            return float(value) if math.isfinite(value) else None


def _converted(value: Any) -> Any:
    """The form that pydantic gives models, dates, decimals, data classes and the like."""
    if isinstance(value, dspy.Type):
        return text_of(value)
    try:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else to_jsonable_python(value)
    except (PydanticSerializationError, ValueError) as error:
        raise TypeError(f"an output of the type {type(value).__name__} has no form as JSON") from error
