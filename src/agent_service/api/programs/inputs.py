"""A program's inputs as a caller sent them: within bounds, as the program takes them, as they are kept."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agent_service.core.errors import FieldProblem, InvalidRequestError
from agent_service.core.messages import Inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_service.programs.base import ProgramSpec

_MAX_PROBLEMS = 20
_MAX_FIELD_CHARS = 64
_DATA_URI = re.compile(r"(data:[\w.+-]+/[\w.+-]+;base64,)[A-Za-z0-9+/=]+")
_FEW_CHARS = 200


def read_inputs(spec: ProgramSpec, sent: dict[str, Any], *, max_text_chars: int) -> Inputs:
    """What ``sent`` is to the program.

    A text may have ``max_text_chars`` characters, a data URI as many as the body holds.

    Raises:
        InvalidRequestError: naming each input that is wrong.
    """
    values = spec.interface.read(sent)
    too_long = tuple(
        FieldProblem(path[:_MAX_FIELD_CHARS], f"must have at most {max_text_chars} characters")
        for path, text in _texts("inputs", sent)
        if len(text) > max_text_chars and _DATA_URI.fullmatch(text) is None
    )[:_MAX_PROBLEMS]
    if too_long:
        raise InvalidRequestError(f"Not valid: {', '.join(at.field for at in too_long)}.", fields=too_long)
    text = json.dumps(sent, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Inputs(values, text)


def question_of(spec: ProgramSpec, sent: dict[str, Any]) -> str:
    """How the inputs stand in the conversation: the question alone where there is one, else all as JSON.

    Images, sounds and files are not kept.
    """
    if spec.is_plain:
        return str(sent.get(spec.question_input or "") or "")
    return json.dumps(_without_data(sent), ensure_ascii=False, separators=(",", ":"))


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in members:
            yield from _texts(f"{path}.{name}", member)


def _without_data(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_data(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_data(member) for member in value]
    if isinstance(value, str) and len(value) > _FEW_CHARS and (found := _DATA_URI.fullmatch(value)):
        return f"{found[1]}[{len(value) - len(found[1])} characters]"
    return value
