"""What a query and its answer say in a conversation: texts, or JSON where a program has no plain side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_service.runtime.answer_text import as_text
from agent_service.runtime.recollection import instructed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.core.messages import Query
    from agent_service.programs.base import ProgramReply, ProgramSpec


def inputs_of(query: Query, spec: ProgramSpec) -> Mapping[str, Any]:
    """What the program is asked: the caller's inputs, or the question as its only one."""
    if query.inputs is not None:
        return query.inputs.values
    return {spec.question_input or "": instructed(query)}


def answer_of(reply: ProgramReply, spec: ProgramSpec) -> str:
    """The answer as it is kept: the plain one, else all outputs as a JSON object.

    Raises:
        TypeError: an output has no form as JSON.
    """
    if spec.is_plain:
        return as_text(reply.outputs[spec.answer_output or ""])
    return json.dumps(spec.interface.written(reply.outputs), ensure_ascii=False, separators=(",", ":"))


def text_of(kept: str, spec: ProgramSpec) -> str:
    """Of what is kept, the text that is the plain answer; empty where there is none."""
    if spec.is_plain:
        return kept
    outputs = _outputs_in(kept)
    return as_text(outputs.get(spec.answer_output or "", ""))


def outputs_of(kept: str, reply: ProgramReply | None, spec: ProgramSpec) -> Mapping[str, Any]:
    """The outputs of which ``kept`` is kept: those of ``reply`` when that is what was answered.

    Raises:
        TypeError: an output has no form as JSON.
    """
    if not spec.is_plain:
        return _outputs_in(kept)
    if reply is None:
        return {spec.answer_output or "": kept}
    return spec.interface.written(reply.outputs)


def _outputs_in(kept: str) -> Mapping[str, Any]:
    """An object; whatever else is found was kept when the program was another one."""
    try:
        found = json.loads(kept)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
