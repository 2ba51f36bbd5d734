"""From a program's fields to what the service knows of it: its interface, and where a plain question goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticUndefined

from agent_service.programs.base import ProgramSpec
from agent_service.programs.loader import LoadError
from agent_service.programs.typed.interface import TypedField, TypedInterface
from agent_service.programs.typed.json_values import as_json_value
from agent_service.programs.typed.texts import annotated, as_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.programs.fields import Fields

_FILES: tuple[type, ...] = (dspy.Image, dspy.Audio, dspy.File, dspy.History, dspy.Tool, dspy.ToolCalls)
"""Types that mean something only where the service reads them itself."""


def spec_of(
    name: str, model: str, fields: Fields, tools: tuple[str, ...], version: str | None = None
) -> ProgramSpec:
    """What the service needs to know of a program.

    Raises:
        LoadError: when an input cannot be sent as JSON.
    """
    interface = interface_of(fields)
    try:
        answer_output = fields.answer_output
    except LoadError:
        answer_output = None
    return ProgramSpec(
        name=name,
        model=model,
        inputs=tuple(interface.input_schema["properties"]),
        outputs=tuple(fields.outputs),
        interface=interface,
        question_input=fields.question_input if fields.is_plain else None,
        answer_output=answer_output,
        tools=tools,
        version=version,
    )


def interface_of(fields: Fields) -> TypedInterface:
    """The interface of ``fields``; optional inputs without a form as JSON are left out.

    Raises:
        LoadError: an input that has to be given has no such form.
    """
    left_out = without_json(fields)
    needed = {name: reason for name, reason in left_out.items() if name not in fields.optional}
    if needed:
        told = "; ".join(f"{name} {reason}" for name, reason in needed.items())
        raise LoadError(f"the program's inputs cannot be sent as JSON: {told}")
    inputs = [_field(fields, name) for name in fields.inputs if name not in left_out]
    outputs = [
        TypedField(
            name,
            as_texts(kind) if _problem(kind) is None else Any,
            fields.descriptions.get(name, ""),
            is_required=name in fields.promised,
        )
        for name, kind in fields.outputs.items()
    ]
    return TypedInterface(inputs, outputs, write=as_json_value)


def without_json(fields: Fields) -> Mapping[str, str]:
    """The inputs that cannot be sent as JSON, and why."""
    problems = {name: _problem(kind) for name, kind in fields.inputs.items()}
    return {name: problem for name, problem in problems.items() if problem is not None}


def _field(fields: Fields, name: str) -> TypedField:
    info = fields.infos.get(name)
    kind = as_texts(fields.inputs[name])
    if info is not None and info.metadata:
        kind = annotated(kind, info.metadata)
    default = fields.defaults.get(name)
    return TypedField(
        name,
        kind,
        fields.descriptions.get(name, ""),
        is_required=name not in fields.optional,
        default=None if default is PydanticUndefined else default,
    )


def _problem(kind: Any) -> str | None:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(as_texts(kind))
        adapter.json_schema()
    except (PydanticUserError, TypeError, NameError) as error:
        del error
        return f"is of the type {_name(kind)}, which has no form as JSON"
    hidden = _hidden(adapter.core_schema)
    if hidden is not None:
        return f"holds a dspy.{hidden} within {_name(kind)}; make it an input of its own, or a list of them"
    return None


def _hidden(schema: Any) -> str | None:
    """The name of a type that has to be read by the service, in the depth of pydantic's schema."""
    if isinstance(schema, (list, tuple)):
        return next(filter(None, map(_hidden, schema)), None)
    if not isinstance(schema, dict):
        return None
    found = schema.get("cls")
    if isinstance(found, type) and issubclass(found, _FILES):
        return found.__name__
    return next(filter(None, map(_hidden, schema.values())), None)


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)
