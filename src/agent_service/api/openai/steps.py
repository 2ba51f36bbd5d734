"""A tool step in words, where the protocol has a place for reasoning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def used(tool: str, arguments: Mapping[str, Any] | None = None) -> str:
    """What a tool was called with, on one line; of answers that were not followed only its name is known."""
    if arguments is None:
        return f"Used {tool}."
    written = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items()
    )
    return f"Used {tool}({written})."
