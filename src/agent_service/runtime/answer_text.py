"""An answer as text, whatever type the program gave it."""

from __future__ import annotations

import json


def as_text(value: object) -> str:
    """An answer as text that can be stored and sent: what is no text is written as JSON.

    Halves of surrogate pairs become question marks.

    Raises:
        TypeError: for an object without such a form; its ``repr`` would only tell an address.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "replace").decode("utf-8")


def _plain(value: object) -> object:
    """The form of a pydantic model, as DSPy's typed outputs are."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"an answer of the type {type(value).__name__} has no form as text")
    return dump(mode="json")
