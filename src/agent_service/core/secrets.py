"""What must not be shown, in logs or to callers: keys, tokens and passwords, by name and by look."""

from __future__ import annotations

import re
from typing import Any

_MASK = "***"
_SECRET_KEY = re.compile(
    r"(^|[_-])(authorization|api[_-]?key|password|passwd|secret|token|cookie)$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?P<before>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}"
    r"|\b[srp]k-[\w-]{6,}"
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@]*:[^\s/@]*(?=@)",
    re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    """``value`` with keys, tokens and passwords replaced by ``***``, also inside mappings and lists."""
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_mask, value)
    if isinstance(value, dict):
        return {key: _MASK if _SECRET_KEY.search(str(key)) else redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


def _mask(found: re.Match[str]) -> str:
    return (found["before"] or found["scheme"] or "") + _MASK
