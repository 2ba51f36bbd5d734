"""A signature and its demonstrations as an adapter writes and reads them, worked out once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from pydantic_core import PydanticUndefined

from agent_service.programs.fast.internals import (
    CUSTOM_TYPE_MARK,
    PRIVILEGED,
    custom_types,
    json_settings,
    takes_decisions,
)
from agent_service.programs.fast.plans.parsers import parser_of, read_chat, read_json
from agent_service.programs.fast.plans.snapshot import NoPlanError, Snapshot
from agent_service.programs.fast.plans.values import formatted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic.fields import FieldInfo

_READERS = {dspy.ChatAdapter: read_chat, dspy.JSONAdapter: read_json}


@dataclass(frozen=True)
class Plan:
    """What an adapter with its default options does for one signature with one list of demonstrations.

    Attributes:
        adapter: of exactly ``dspy.ChatAdapter`` or ``dspy.JSONAdapter``.
        inputs: the input fields in order, each with the text before its value.
        requirements: the end of the last message.
        head: all messages before the last.
        parsers: of the output fields, in order.
        defaults: of the input fields that have one.
    """

    adapter: dspy.ChatAdapter
    signature: Any
    inputs: Mapping[str, tuple[str, FieldInfo]]
    requirements: str
    head: Sequence[dict[str, Any]]
    parsers: Mapping[str, Callable[[Any], Any]]
    defaults: Mapping[str, Any]
    seen: Snapshot

    @classmethod
    def of(cls, signature: Any, demos: Any, kind: type[dspy.ChatAdapter] = dspy.ChatAdapter) -> Plan:
        """Compile the plan of an adapter of that ``kind``.

        Raises:
            NoPlanError: when the signature or a demonstration needs more than plain values.
        """
        adapter = kind()
        _refuse_special(signature, adapter)
        seen = Snapshot.of(signature, demos)
        head = _head(adapter, signature, demos)
        if any(CUSTOM_TYPE_MARK in message["content"] for message in head):
            raise NoPlanError("a demonstration holds a value of one of DSPy's own types")
        return cls(
            adapter=adapter,
            signature=signature,
            inputs=_openings(signature.input_fields),
            requirements=adapter.user_message_output_requirements(signature),
            head=head,
            parsers=_parsers(signature.output_fields),
            defaults=_defaults(signature.input_fields),
            seen=seen,
        )

    def holds(self, signature: Any, demos: Any) -> bool:
        """Whether it is still the plan of these, which callers may change in place."""
        return signature is self.signature and type(demos) is list and self.seen.still(signature, demos)

    def settings(self, lm: dspy.LM, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a predictor as the adapter completes them for the LM.

        Raises:
            NoPlanError: when DSPy would have something to say about them at each call.
        """
        if type(self.adapter) is not dspy.JSONAdapter:
            return dict(config)
        try:
            return json_settings(self.adapter, lm, dict(config), self.signature)
        except Exception as error:
            raise NoPlanError(f"DSPy cannot make a schema of the outputs: {error}") from error

    def values(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """The inputs with their defaults; None when one is missing or unknown."""
        if given.keys() == self.inputs.keys():
            return given
        missing = {name: value for name, value in self.defaults.items() if name not in given}
        values = {**given, **missing}
        return values if values.keys() == self.inputs.keys() else None

    def question(self, values: Mapping[str, Any]) -> str:
        """The last message: the inputs, then what is required of the answer."""
        parts: list[str] = []
        for name, (opening, field) in self.inputs.items():
            value = values[name]
            parts += (opening, value if type(value) is str else formatted(field, value), "\n\n")
        parts.append(self.requirements)
        return "".join(parts)

    def answer(self, text: str) -> dict[str, Any]:
        """The output fields in order.

        Raises:
            AdapterParseError: as the adapter's ``parse``.
        """
        with suppress(Exception):  # DSPy's parser says which error it is, or that it is none
            return _READERS[type(self.adapter)](text, self.parsers)
        return self.adapter.parse(self.signature, text)  # type: ignore[no-any-return] # untyped


def _head(adapter: dspy.ChatAdapter, signature: Any, demos: Any) -> list[dict[str, Any]]:
    try:
        system = {"role": "system", "content": adapter.format_system_message(signature)}
        return [system, *adapter.format_demos(signature, demos)]
    except Exception as error:
        raise NoPlanError(f"DSPy cannot write the prompt: {error}") from error


def _refuse_special(signature: Any, adapter: dspy.ChatAdapter) -> None:
    if taken := PRIVILEGED & signature.input_fields.keys():
        raise NoPlanError(f"to dspy.Predict the input {', '.join(taken)} means something else")
    for name, field in signature.fields.items():
        if field.annotation is dspy.History or custom_types(field.rebuild_annotation()):
            kind = getattr(field.annotation, "__name__", field.annotation)
            raise NoPlanError(f"the field {name} is a {kind}")
    if takes_decisions(signature, adapter):
        raise NoPlanError("an output is a decision")


def _openings(fields: Mapping[str, FieldInfo]) -> dict[str, tuple[str, FieldInfo]]:
    return {name: (f"[[ ## {name} ## ]]\n", field) for name, field in fields.items()}


def _defaults(fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    return {name: field.default for name, field in fields.items() if field.default is not PydanticUndefined}


def _parsers(fields: Mapping[str, FieldInfo]) -> dict[str, Callable[[Any], Any]]:
    try:
        return {name: parser_of(field.annotation) for name, field in fields.items()}
    except Exception as error:
        raise NoPlanError(f"an output has a type without a schema: {error}") from error
