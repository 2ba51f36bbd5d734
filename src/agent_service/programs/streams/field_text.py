"""The text of one output field, taken out of a model's reply while that is being written.

Two formats are understood, those of DSPy's ChatAdapter and JSONAdapter; of any other nothing is told, and the
whole answer comes at its end.
"""

from __future__ import annotations

from typing import Protocol

from agent_service.programs.streams.chat_text import ChatText
from agent_service.programs.streams.json_text import JsonText


class FieldText:
    """Takes a reply in pieces, gives the field's text in pieces.

    The pieces that were given, together, are what DSPy's adapter makes of the whole reply, however that was
    cut: one is given only when nothing that follows can take it back.

    Args:
        field: the name of the output field.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._start = ""
        self._format: _Format | None = None

    def __repr__(self) -> str:
        return f"<FieldText of {self._field}, {type(self._format).__name__}>"

    def feed(self, piece: str) -> str:
        """More of the field's text, from one more ``piece`` of the reply."""
        if self._format is None:
            self._start += piece
            begun = self._start.lstrip()
            if not begun:
                return ""
            self._format = JsonText(self._field) if begun[0] in "{`" else ChatText(self._field)
            piece = self._start
        return self._format.feed(piece)

    def end(self) -> str:
        """What is left of the field's text when the reply is whole."""
        return "" if self._format is None else self._format.end()


class _Format(Protocol):
    """One way to write fields."""

    def feed(self, piece: str) -> str:
        """See ``FieldText.feed``."""

    def end(self) -> str:
        """See ``FieldText.end``."""
