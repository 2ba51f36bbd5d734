"""Signatures with a conversation or with tools to call: what is shown of them depends on the model."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

import dspy

from agent_service.programs.fast.lm_internals import (
    AdapterKind,
    custom_types,
    read_by_stock,
    rewritten_for,
    takes_decisions,
)
from agent_service.programs.fast.plans.history import ToldHistory
from agent_service.programs.fast.plans.plan import Draft, Plan, refuse_inputs, settings_for, type_name
from agent_service.programs.fast.plans.snapshot import NoPlanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dspy import lm15
    from pydantic.fields import FieldInfo

_NATIVE_OUTPUTS = (dspy.Reasoning, dspy.ToolCalls)
_NATIVE_WORDS = ("reasoning_content", "citations")
"""What DSPy looks for in an answer, even in one that is plain text."""


@dataclass(frozen=True)
class ToolPlan:
    """What an adapter does for a signature with a ``History``, ``Tool`` inputs or ``ToolCalls``.

    Attributes:
        adapter: of one of the known kinds.
        whole: the plan of all fields, as they are told by text; of it, only the inputs are used.
        demos: the demonstrations.
        history: the input that is the conversation, if any.
        tools: the input that is the tools which are offered natively, if any.
    """

    adapter: dspy.ChatAdapter
    signature: Any
    whole: Plan
    demos: Any
    history: str | None
    tools: str | None

    @classmethod
    def of(cls, signature: Any, demos: Any, kind: AdapterKind) -> ToolPlan:
        """Compile it as far as it is the same for all models.

        Raises:
            NoPlanError: when a field is of another of DSPy's own types.
        """
        adapter = kind.make()
        refuse_inputs(signature)
        _refuse_other_types(signature)
        if takes_decisions(signature, adapter):
            raise NoPlanError("an output is a decision")
        histories = [
            name for name, field in signature.input_fields.items() if field.annotation is dspy.History
        ]
        if len(histories) > 1:
            raise NoPlanError("there is more than one conversation")
        tools = [name for name, field in signature.input_fields.items() if _is_tools(field)]
        calls = any(field.annotation is dspy.ToolCalls for field in signature.output_fields.values())
        return cls(
            adapter=adapter,
            signature=signature,
            whole=Plan.showing(signature, signature.input_fields, demos, adapter),
            demos=demos,
            history=histories[0] if histories else None,
            tools=tools[0] if tools and calls and kind.calls_natively else None,
        )

    def holds(self, signature: Any, demos: Any) -> bool:
        """Whether it is still the plan of these, which callers may change in place."""
        return self.whole.holds(signature, demos)

    def values(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """See ``Plan.values``."""
        return self.whole.values(given)

    def offered(self, values: Mapping[str, Any]) -> str | None:
        """What the LM is told of tools by other means than text, to be compared.

        Raises:
            Exception: for tools that are none, or that cannot be told of.
        """
        if self.tools is None:
            return None
        tools = values[self.tools]
        listed = tools if isinstance(tools, list) else [tools]
        return json.dumps([tool.format_as_litellm_function_call() for tool in listed])

    def draft(self, lm: dspy.LM, config: Mapping[str, Any], values: Mapping[str, Any]) -> ToolDraft:
        """See ``Plan.draft``; for what is offered with these ``values``.

        Raises:
            NoPlanError: when DSPy refuses them.
        """
        settings = settings_for(self.adapter, lm, config, self.signature)
        try:
            shown = rewritten_for(self.adapter, lm, settings, self.signature, values)
        except Exception as error:
            raise NoPlanError(f"DSPy refuses the tools: {error}") from error
        if "tools" in settings:
            settings["tools"] = _copied(settings["tools"])
        inputs = {name: field for name, field in shown.input_fields.items() if name != self.history}
        return ToolDraft(
            plan=Plan.showing(shown, inputs, self.demos, self.adapter),
            settings=settings,
            signature=self.signature,
            name=self.history,
            history=ToldHistory(self.adapter, inputs, shown.output_fields),
        )


@dataclass(frozen=True)
class ToolDraft(Draft):
    """The same for a signature of which the model is not shown everything."""

    signature: Any
    name: str | None
    history: ToldHistory

    def told(self, values: Mapping[str, Any], model: str) -> Sequence[lm15.Message] | None:
        """The conversation's messages; None when DSPy is to say what is wrong with it."""
        return () if self.name is None else self.history.messages(values[self.name], model)

    def fields(self, output: Any) -> dict[str, Any]:
        """The output fields of an answer, those included that came natively.

        Raises:
            AdapterParseError: as DSPy.
        """
        shown = self.plan.signature
        is_text = type(output) is str and not any(word in output for word in _NATIVE_WORDS)
        if is_text and len(self.plan.parsers) == len(self.signature.output_fields):
            with suppress(Exception):  # DSPy says which error it is
                return self.plan.answer(output)
        return read_by_stock(self.plan.adapter, shown, self.signature, output, self.settings)


def _copied(tools: Any) -> Any:
    """What is told of tools, without what callers may change in place."""
    copied = json.loads(json.dumps(tools))
    if copied != tools:
        raise NoPlanError("what is told of a tool is no plain JSON")
    return copied


def _is_tools(field: FieldInfo) -> bool:
    annotation = field.annotation
    is_list = get_origin(annotation) is list and get_args(annotation) == (dspy.Tool,)
    return is_list or annotation is dspy.Tool


def _refuse_other_types(signature: Any) -> None:
    for name, field in signature.fields.items():
        if name in signature.input_fields:
            is_known = field.annotation is dspy.History or _is_tools(field)
        else:
            is_known = any(field.annotation is kind for kind in _NATIVE_OUTPUTS)
        if not is_known and (field.annotation is dspy.History or custom_types(field.rebuild_annotation())):
            raise NoPlanError(f"the field {name} is a {type_name(field)}")
