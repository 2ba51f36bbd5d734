"""What must not be shown, in logs or to callers: keys, tokens and passwords, by name and by look."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_MASK = "***"
_PLAIN = frozenset({int, float, bool, type(None)})
_MAX_NAME_CHARS = 32
_SECRET_KEY = re.compile(
    r"(^|[_-])(authorization|api[_-]?key|password|passwd|secret|token|cookie)$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?P<before>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}"
    r"|\b[srp]k-[\w-]{6,}"
    r"|(?P<own>\bask_[0-9a-f]{12}_)\w+"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@]*:[^\s/@]*(?=@)",
    re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    """``value`` with keys, tokens and passwords replaced by ``***``, also inside mappings and lists."""
    if isinstance(value, str):
        return _name_without_secrets(value) if len(value) <= _MAX_NAME_CHARS else _without_secrets(value)
    if isinstance(value, dict):
        return {
            key: _MASK if _is_secret(str(key)) else item if type(item) in _PLAIN else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


def _without_secrets(text: str) -> str:
    return _SECRET_TEXT.sub(_mask, text)


_name_without_secrets = lru_cache(maxsize=1024)(_without_secrets)
"""Most short texts are names, which come again and again."""


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _mask(found: re.Match[str]) -> str:
    return (found["before"] or found["own"] or found["scheme"] or "") + _MASK
