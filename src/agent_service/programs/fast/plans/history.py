"""A conversation as messages, each of its turns written once."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import ref

import dspy

from agent_service.programs.fast.lm_internals import CUSTOM_TYPE_MARK, canonical_messages
from agent_service.programs.fast.plans.values import IMMUTABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dspy import lm15
    from pydantic.fields import FieldInfo

_NAME = "history"
_MOST_TIMES = 2
"""Turns that are remembered for each that there is; others were taken out of the conversation."""


@dataclass(frozen=True)
class _Shown:
    """In the place of a signature, for an adapter that writes a turn; DSPy's own take long to make."""

    input_fields: Mapping[str, FieldInfo]
    output_fields: Mapping[str, FieldInfo]

    def delete(self, name: str) -> _Shown:
        """The same without one field."""
        return _Shown(_without(self.input_fields, name), _without(self.output_fields, name))


@dataclass(frozen=True)
class _Turn:
    """What was made of one turn; its values cannot change in place."""

    names: Sequence[str]
    values: Sequence[Any]
    messages: Sequence[lm15.Message]

    def is_of(self, turn: Mapping[str, Any]) -> bool:
        return list(turn) == self.names and all(map(operator.is_, turn.values(), self.values))


class ToldHistory:
    """Writes ``dspy.History`` objects as an adapter does. Remembers what it wrote as long as they live.

    Args:
        adapter: of one of the known kinds.
        inputs: the fields of a user's part of a turn.
        outputs: those of the model's.
    """

    def __init__(
        self, adapter: dspy.Adapter, inputs: Mapping[str, FieldInfo], outputs: Mapping[str, FieldInfo]
    ) -> None:
        self._adapter = adapter
        self._shown = _Shown(inputs, outputs)
        self._known: dict[int, tuple[ref[dspy.History], dict[int, _Turn]]] = {}

    def messages(self, history: Any, model: str) -> list[lm15.Message] | None:
        """The messages for ``model``; None when there is something wrong with the history."""
        if type(history) is not dspy.History:
            return None
        known = self._turns(history)
        told: list[lm15.Message] = []
        try:
            for turn in history.messages:
                written = known.get(id(turn))
                if written is None or not written.is_of(turn):
                    written = known[id(turn)] = self._written(turn, model)
                told += written.messages
                if not _is_settled(turn):
                    del known[id(turn)]
        except Exception:  # noqa: BLE001 - DSPy says what is wrong with it
            return None
        return told

    def _turns(self, history: dspy.History) -> dict[int, _Turn]:
        key = id(history)
        if key not in self._known:
            self._known[key] = ref(history, lambda _: self._known.pop(key, None)), {}
        known = self._known[key][1]
        if len(known) > _MOST_TIMES * len(history.messages):
            known.clear()
        return known

    def _written(self, turn: Mapping[str, Any], model: str) -> _Turn:
        inputs = {_NAME: SimpleNamespace(messages=[turn])}
        rows = self._adapter.format_conversation_history(self._shown, _NAME, inputs)
        if any(CUSTOM_TYPE_MARK in str(row["content"]) for row in rows):
            raise ValueError
        messages = canonical_messages(rows, model) if rows else ()
        return _Turn(list(turn), list(turn.values()), messages)


def _without(fields: Mapping[str, FieldInfo], name: str) -> dict[str, FieldInfo]:
    return {other: field for other, field in fields.items() if other != name}


def _is_settled(turn: Mapping[str, Any]) -> bool:
    """Whether nobody can change a turn without exchanging one of its values."""
    return all(map(_is_constant, turn.values()))


def _is_constant(value: Any) -> bool:
    if type(value) is dspy.ToolCalls:
        results = value.tool_call_results
        told = results.tool_call_results if type(results) is dspy.ToolCallResults else [results]
        return all(type(getattr(result, "value", result)) in IMMUTABLE for result in told) and all(
            type(item) in IMMUTABLE for call in value.tool_calls for item in call.args.values()
        )
    return type(value) in IMMUTABLE or type(value) is dspy.Reasoning
