"""A field's text in a JSON object (RFC 8259), as DSPy's JSONAdapter asks for it, taken as it comes.

What is no proper JSON may be told wrongly here; DSPy mends such replies when they are whole.
"""

from __future__ import annotations

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNICODE_ESCAPE_CHARS = 6
_HIGH_SURROGATES = range(0xD800, 0xDC00)
_LOW_SURROGATES = range(0xDC00, 0xE000)


class JsonText:
    """Tells the string that is the value of one name of the outermost object."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._depth = 0
        self._is_name = False
        self._name = ""
        self._in_string = False
        self._escape = ""
        self._high_surrogate = ""
        self._is_over = False
        self._told: list[str] = []

    def feed(self, piece: str) -> str:
        """See ``FieldText.feed``."""
        for char in piece:
            if self._is_over:
                break
            if self._in_string:
                self._take_in_string(char)
            else:
                self._take_structure(char)
        told, self._told = "".join(self._told), []
        return told

    def end(self) -> str:
        """See ``FieldText.end``."""
        self._is_over = True
        return ""

    def _take_structure(self, char: str) -> None:
        if char == '"':
            self._in_string = True
            self._name = "" if self._is_name and self._depth == 1 else self._name
        elif char in "{[":
            self._depth += 1
            self._is_name = self._is_name or self._depth == 1
        elif char in "}]":
            self._depth -= 1
            self._is_over = self._depth == 0
        elif char in ",:" and self._depth == 1:
            self._is_name = char == ","

    def _take_in_string(self, char: str) -> None:
        if self._escape:
            self._take_escape(self._escape + char)
        elif char == "\\":
            self._escape = char
        elif char == '"':
            self._end_string()
        else:
            self._take(char)

    def _take_escape(self, escape: str) -> None:
        self._escape = ""
        if escape[1] != "u":
            self._take(_ESCAPES.get(escape[1], escape[1]))
        elif len(escape) < _UNICODE_ESCAPE_CHARS:
            self._escape = escape
        else:
            try:
                self._take_code_unit(int.from_bytes(bytes.fromhex(escape[2:]), "big"))
            except ValueError:
                self._is_over = True

    def _take_code_unit(self, unit: int) -> None:
        """One code unit of UTF-16: both halves of a pair are one character."""
        high, self._high_surrogate = self._high_surrogate, ""
        if high and unit in _LOW_SURROGATES:
            self._add(chr(0x10000 + ((ord(high) - 0xD800) << 10) + unit - 0xDC00))
            return
        self._add(high)
        if unit in _HIGH_SURROGATES:
            self._high_surrogate = chr(unit)
        else:
            self._add(chr(unit))

    def _take(self, char: str) -> None:
        self._end_surrogate()
        self._add(char)

    def _end_string(self) -> None:
        self._end_surrogate()
        self._in_string = False
        self._is_over = self._is_told()

    def _end_surrogate(self) -> None:
        high, self._high_surrogate = self._high_surrogate, ""
        self._add(high)

    def _add(self, text: str) -> None:
        if self._is_told():
            self._told.append(text)
        elif self._depth == 1 and self._is_name:
            self._name += text

    def _is_told(self) -> bool:
        """Whether the string at hand is the value of the field."""
        return self._depth == 1 and not self._is_name and self._name == self._field
