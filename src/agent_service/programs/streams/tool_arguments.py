"""Arguments of a tool call, fit to be shown: few, short, without secrets."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent_service.core.secrets import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ARGUMENTS = 20
MAX_VALUE_CHARS = 200
_MARK = " […]"
_EXACT_IN_JSON = 2**53


def shown(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """At most 20 of ``arguments``: texts and, as JSON, nested values cut at 200 characters, secrets masked.

    A value of another type is named by its class: its ``repr`` is its author's code and may tell anything.
    """
    return {_cut(name): _shown(name, value) for name, value in islice(arguments.items(), MAX_ARGUMENTS)}


def _shown(name: str, value: Any) -> Any:
    try:
        masked = redacted({name: _cut(value, 2 * MAX_VALUE_CHARS) if isinstance(value, str) else value})[name]
        if isinstance(masked, str) or _is_plain(masked):
            return _cut(masked) if isinstance(masked, str) else masked
        return _cut(json.dumps(masked, ensure_ascii=False, default=_class_of))
    except (TypeError, ValueError, RecursionError):
        return _class_of(value)


def _is_plain(value: object) -> bool:
    """Whether every reader of JSON understands the same by it."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < _EXACT_IN_JSON)


def _cut(text: str, limit_chars: int = MAX_VALUE_CHARS) -> str:
    return text if len(text) <= limit_chars else text[: limit_chars - len(_MARK)] + _MARK


def _class_of(value: object) -> str:
    return f"<{type(value).__name__}>"
