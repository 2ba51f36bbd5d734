"""A signature and its demonstrations as an adapter writes and reads them, worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.exceptions import AdapterParseError
from pydantic_core import PydanticUndefined

from agent_service.programs.fast.internals import PRIVILEGED
from agent_service.programs.fast.lm_internals import (
    CUSTOM_TYPE_MARK,
    AdapterKind,
    allows_none,
    custom_types,
    json_settings,
    takes_decisions,
)
from agent_service.programs.fast.plans.parsers import parser_of, read_chat, read_json
from agent_service.programs.fast.plans.snapshot import NoPlanError, Snapshot
from agent_service.programs.fast.plans.values import formatted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from dspy import lm15
    from pydantic.fields import FieldInfo

_READERS = {dspy.ChatAdapter: read_chat, dspy.JSONAdapter: read_json}


@dataclass(frozen=True)
class Draft:
    """The part of the calls of one LM that is the same.

    Attributes:
        plan: of what the LM is shown.
        settings: of the call.
    """

    plan: Plan
    settings: dict[str, Any]

    def told(self, _: Mapping[str, Any], __: str) -> Sequence[lm15.Message] | None:
        """The messages between demonstrations and question: none."""
        return ()

    def fields(self, output: Any) -> dict[str, Any]:
        """The output fields of an answer.

        Raises:
            AdapterParseError: as DSPy.
        """
        text = output["text"] if isinstance(output, dict) else output
        if text:
            return self.plan.answer(text)
        raise AdapterParseError(
            adapter_name=type(self.plan.adapter).__name__,
            signature=self.plan.signature,
            lm_response=str(output),
            message="The LM returned an empty or null response.",
        )


@dataclass(frozen=True)
class Plan:
    """What an adapter does for one signature of plain values with one list of demonstrations.

    Attributes:
        adapter: of one of the known kinds.
        inputs: the input fields in order, each with the text before its value.
        optional: those that may be missing.
        requirements: the end of the last message.
        head: all messages before the last.
        parsers: of the output fields, in order.
        defaults: of the input fields that have one.
    """

    adapter: dspy.ChatAdapter
    signature: Any
    inputs: Mapping[str, tuple[str, FieldInfo]]
    optional: AbstractSet[str]
    requirements: str
    head: Sequence[dict[str, Any]]
    parsers: Mapping[str, Callable[[Any], Any]]
    defaults: Mapping[str, Any]
    seen: Snapshot

    @classmethod
    def of(cls, signature: Any, demos: Any, kind: AdapterKind) -> Plan:
        """Compile the plan of an adapter of that ``kind``.

        Raises:
            NoPlanError: when the signature or a demonstration needs more than plain values.
        """
        adapter = kind.make()
        refuse_inputs(signature)
        for name, field in signature.fields.items():
            if field.annotation is dspy.History or custom_types(field.rebuild_annotation()):
                raise NoPlanError(f"the field {name} is a {type_name(field)}")
        if takes_decisions(signature, adapter):
            raise NoPlanError("an output is a decision")
        return cls.showing(signature, signature.input_fields, demos, adapter)

    @classmethod
    def showing(
        cls, signature: Any, inputs: Mapping[str, FieldInfo], demos: Any, adapter: dspy.ChatAdapter
    ) -> Plan:
        """Compile the plan of a signature whose last message has these ``inputs``.

        Raises:
            NoPlanError: when DSPy cannot write it, or a demonstration is of no plain values.
        """
        seen = Snapshot.of(signature, demos)
        head = _head(adapter, signature, demos)
        if any(CUSTOM_TYPE_MARK in message["content"] for message in head):
            raise NoPlanError("a demonstration holds a value of one of DSPy's own types")
        return cls(
            adapter=adapter,
            signature=signature,
            inputs=_openings(inputs),
            optional={name for name, field in inputs.items() if allows_none(field.annotation)},
            requirements=adapter.user_message_output_requirements(signature),
            head=head,
            parsers=_parsers(signature.output_fields),
            defaults=_defaults(inputs),
            seen=seen,
        )

    def holds(self, signature: Any, demos: Any) -> bool:
        """Whether it is still the plan of these, which callers may change in place."""
        return signature is self.signature and type(demos) is list and self.seen.still(signature, demos)

    @property
    def tools(self) -> str | None:
        """The input that is the tools which are offered natively: there is none."""
        return None

    def offered(self, _: Mapping[str, Any]) -> str | None:
        """What the LM is told of tools by other means than text: nothing."""
        return None

    def draft(self, lm: dspy.LM, config: Mapping[str, Any], _: Mapping[str, Any]) -> Draft:
        """The part of all calls of ``lm`` that is the same.

        Raises:
            NoPlanError: when DSPy would have something to say about the settings at each call.
        """
        return Draft(self, settings_for(self.adapter, lm, config, self.signature))

    def values(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """The inputs with their defaults; None when one is unknown, or missing where it must not."""
        if given.keys() == self.inputs.keys():
            return given
        missing = {name: value for name, value in self.defaults.items() if name not in given}
        values = {**given, **missing}
        is_known = values.keys() <= self.inputs.keys()
        return values if is_known and self.inputs.keys() - values.keys() <= self.optional else None

    def question(self, values: Mapping[str, Any]) -> str:
        """The last message: the inputs, then what is required of the answer."""
        parts: list[str] = []
        for name, (opening, field) in self.inputs.items():
            if name in values:
                value = values[name]
                parts += (opening, value if type(value) is str else formatted(field, value), "\n\n")
        parts.append(self.requirements)
        return "".join(parts)

    def answer(self, text: str) -> dict[str, Any]:
        """The output fields in order.

        Raises:
            AdapterParseError: as the adapter's ``parse``.
        """
        try:
            fields = _READERS[type(self.adapter)](text, self.parsers)
        except Exception:  # noqa: BLE001 - DSPy's parser says which error it is, or that it is none
            fields = None
        return self.adapter.parse(self.signature, text) if fields is None else fields


def _head(adapter: dspy.ChatAdapter, signature: Any, demos: Any) -> list[dict[str, Any]]:
    try:
        system = {"role": "system", "content": adapter.format_system_message(signature)}
        return [system, *adapter.format_demos(signature, demos)]
    except Exception as error:
        raise NoPlanError(f"DSPy cannot write the prompt: {error}") from error


def refuse_inputs(signature: Any) -> None:
    """Raise ``NoPlanError`` for inputs that are none to ``dspy.Predict``."""
    if taken := PRIVILEGED & signature.input_fields.keys():
        raise NoPlanError(f"to dspy.Predict the input {', '.join(taken)} means something else")


def type_name(field: FieldInfo) -> Any:
    """What to call a field's type in a reason."""
    return getattr(field.annotation, "__name__", field.annotation)


def settings_for(
    adapter: dspy.ChatAdapter, lm: dspy.LM, config: Mapping[str, Any], signature: Any
) -> dict[str, Any]:
    """The settings of a predictor as the adapter completes them for the LM.

    Raises:
        NoPlanError: when DSPy would have something to say about them at each call.
    """
    if type(adapter) is not dspy.JSONAdapter:
        return dict(config)
    try:
        return json_settings(adapter, lm, dict(config), signature)
    except Exception as error:
        raise NoPlanError(f"DSPy cannot make a schema of the outputs: {error}") from error


def _openings(fields: Mapping[str, FieldInfo]) -> dict[str, tuple[str, FieldInfo]]:
    return {name: (f"[[ ## {name} ## ]]\n", field) for name, field in fields.items()}


def _defaults(fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    return {name: field.default for name, field in fields.items() if field.default is not PydanticUndefined}


def _parsers(fields: Mapping[str, FieldInfo]) -> dict[str, Callable[[Any], Any]]:
    try:
        return {name: parser_of(field.annotation) for name, field in fields.items()}
    except Exception as error:
        raise NoPlanError(f"an output has a type without a schema: {error}") from error
