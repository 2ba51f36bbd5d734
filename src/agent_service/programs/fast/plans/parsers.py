"""Reads the values of output fields from an answer: one parser per type, made once."""

from __future__ import annotations

import ast
import enum
import functools
import json
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import json_repair
from pydantic import TypeAdapter, ValidationError

from agent_service.programs.fast.lm_internals import (
    FIELD_HEADER,
    find_enum_member,
    is_own_type,
    parse_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined] # typeshed lacks it
_HEADER_START = "[[ ## "
_HEADER_END = " ## ]]"


class UnreadableError(Exception):
    """The answer is not plainly right; DSPy's own parser is to say what it makes of it."""


def parser_of(annotation: Any) -> Callable[[Any], Any]:
    """What ``dspy.adapters.utils.parse_value`` does for values of this type; its errors may be others.

    Raises:
        Exception: when pydantic cannot make a validator of the type.
    """
    if annotation is str:
        return str
    if isinstance(annotation, enum.EnumMeta):
        return functools.partial(find_enum_member, annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return functools.partial(_literal, annotation, arguments)
    validate = TypeAdapter(annotation).validator.validate_python
    if origin in {Union, types.UnionType} and type(None) in arguments and str in arguments:
        return validate
    return functools.partial(_own if is_own_type(annotation) else _loaded, validate)


def _own(validate: Callable[[Any], Any], value: Any) -> Any:
    try:
        return _loaded(validate, value)
    except ValidationError:
        return validate(value)


def _literal(annotation: Any, allowed: tuple[Any, ...], value: Any) -> Any:
    return value if value in allowed else parse_value(value, annotation)


def _loaded(validate: Callable[[Any], Any], value: Any) -> Any:
    return validate(_candidate(value) if isinstance(value, str) else value)


def _candidate(text: str) -> Any:
    """What DSPy takes a text for that is the value of a field."""
    candidate = _repaired(text)
    if candidate == "" and text != "":
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
    return candidate


def _repaired(text: str) -> Any:
    """What ``json_repair.loads`` makes of a text, which asks ``json.loads`` first, which asks a scanner."""
    try:
        value, end = _scan(text, 0)
        return value if end == len(text) else json.loads(text)
    except (StopIteration, ValueError):
        return json_repair.loads(text)


def read_json(answer: str, parsers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The fields of an answer that is a JSON object, in the order of ``parsers``.

    Raises:
        UnreadableError: when it is none, or a field is missing.
        Exception: when a field's value is not of its type.
    """
    values = _repaired(answer)
    if type(values) is not dict or not parsers.keys() <= values.keys():
        raise UnreadableError
    return {name: parse(values[name]) for name, parse in parsers.items()}


def read_chat(answer: str, parsers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The fields of an answer in the format of the chat adapter, in the order of ``parsers``.

    Raises:
        UnreadableError: when a field is missing.
        Exception: when a field's value is not of its type.
    """
    texts = _sections(answer, parsers)
    if len(texts) != len(parsers):
        raise UnreadableError
    return {name: parse(texts[name]) for name, parse in parsers.items()}


def _sections(answer: str, wanted: Mapping[str, Any]) -> dict[str, str]:
    """The first section of each wanted name; see ``dspy.ChatAdapter.parse``."""
    before, *pieces = f"\n{answer}\n".split(_HEADER_START)
    texts: dict[str, str] = {}
    for piece in pieces:
        name, _, text = piece.partition(_HEADER_END)
        is_alone = before[-1] == "\n" and text[:1] == "\n"
        if not (is_alone and name.isascii() and name.isidentifier()):
            return _sections_by_line(answer, wanted)
        if name in wanted and name not in texts:
            texts[name] = text.strip()
        before = text
    return _sections_by_line(answer, wanted) if _has_other_breaks(answer) else texts


def _has_other_breaks(text: str) -> bool:
    """Whether its lines end otherwise than by line feeds, too."""
    by_line_feed = text.count("\n") + (not text.endswith("\n"))
    return "\r" in text or len(text.splitlines()) != by_line_feed


def _sections_by_line(answer: str, wanted: Mapping[str, Any]) -> dict[str, str]:
    """The same for any answer, with DSPy's slicing of lines."""
    texts: dict[str, str] = {}
    name: str | None = None
    lines: list[str] = []
    for line in answer.splitlines():
        header = FIELD_HEADER.match(line.strip()) if _HEADER_START in line else None
        if header is None:
            lines.append(line)
            continue
        if name in wanted and name not in texts:
            texts[name] = "\n".join(lines).strip()  # type: ignore[index] # None is never wanted
        name = header.group(1)
        rest = line[header.end() :].strip()
        lines = [rest] if rest else []
    if name in wanted and name not in texts:
        texts[name] = "\n".join(lines).strip()  # type: ignore[index] # the same
    return texts
