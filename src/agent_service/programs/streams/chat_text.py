"""A field's text in the format of DSPy's ChatAdapter (``ChatAdapter.parse``), taken as it comes."""

from __future__ import annotations

import re
from enum import Enum

_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_OPENING, _CLOSING = "[[ ## ", " ## ]]"
_NAME = re.compile(r"\w*")
_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
"""Where ``str.splitlines`` ends a line."""


class _Line(Enum):
    """What the line that is being written is."""

    UNDECIDED = "undecided"
    TEXT = "text"
    BEHIND_HEADER = "behind header"


class ChatText:
    """``[[ ## field ## ]]`` at the begin of a line opens a field, the next header closes it.

    What is left is stripped at both ends, so white space is held back until something follows it.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._buffer = ""
        self._line = _Line.UNDECIDED
        self._is_inside = False
        self._is_over = False
        self._has_told = False
        self._held = ""

    def feed(self, piece: str) -> str:
        """See ``FieldText.feed``."""
        self._buffer += piece
        told = ""
        while not self._is_over:
            found = _LINE_END.search(self._buffer)
            if found is None or (found[0] == "\r" and found.end() == len(self._buffer)):
                break
            line, self._buffer = self._buffer[: found.start()], self._buffer[found.end() :]
            told += self._take_line(line)
        if not self._is_over and found is None:
            told += self._take_part()
        return told

    def end(self) -> str:
        """See ``FieldText.end``."""
        told = "" if self._is_over else self._take_line(self._buffer.removesuffix("\r"))
        self._is_over = True
        return told

    def _take_line(self, line: str) -> str:
        """The rest of a line, or a whole one."""
        if self._line is _Line.UNDECIDED:
            header = _HEADER.match(line.strip())
            if header is not None:
                line = self._open(header, line)
        told = self._tell(line)
        self._held = "\n" if self._line is _Line.BEHIND_HEADER else self._held + "\n"
        self._line = _Line.UNDECIDED
        return told

    def _take_part(self) -> str:
        """As much of a line that is not whole as can be told already."""
        if self._line is _Line.UNDECIDED:
            begin = self._buffer.lstrip()
            header = _HEADER.match(begin)
            if header is not None:
                self._buffer = self._open(header, self._buffer)
            elif not begin or _may_become_header(begin):
                return ""
            else:
                self._line = _Line.TEXT
        part, self._buffer = self._buffer, ""
        return self._tell(part)

    def _open(self, header: re.Match[str], line: str) -> str:
        """Enter or leave the field; returns the rest of the line, counted as the adapter counts it."""
        self._line = _Line.BEHIND_HEADER
        self._is_over = self._is_inside
        self._is_inside = not self._is_over and header[1] == self._field
        return line[header.end() :]

    def _tell(self, text: str) -> str:
        if not self._is_inside:
            return ""
        text = self._held + text
        told = text.rstrip()
        self._held = text[len(told) :]
        if not self._has_told:
            told = told.lstrip()
            self._has_told = bool(told)
        return told


def _may_become_header(begin: str) -> bool:
    """Whether what follows can make a header of the begin of a line."""
    if not begin.startswith(_OPENING):
        return _OPENING.startswith(begin)
    name = _NAME.match(begin, len(_OPENING))
    rest = begin[name.end() :] if name else ""
    return (not rest) if name is None or not name[0] else _CLOSING.startswith(rest)
