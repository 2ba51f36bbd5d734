"""Inputs and outputs as JSON: one schema for each side, one way in, one way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python
from typing_extensions import NotRequired, TypedDict

from agent_service.core.errors import FieldProblem, InvalidRequestError
from agent_service.programs.base import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MAX_PROBLEMS = 20
_MAX_FIELD_CHARS = 64
# Types are values here, which mypy does not follow.
_TYPED_DICT: Any = TypedDict
_ANNOTATED: Any = Annotated
_NOT_REQUIRED: Any = NotRequired


@dataclass(frozen=True)
class TypedField:
    """One field as callers see it.

    Attributes:
        name: its name in the program.
        type: what pydantic reads or describes.
        description: for people.
        is_required: whether an input has to be sent, or an output is always there.
        default: what stands for an input that is left out; shown, never sent to the program.
    """

    name: str
    type: Any
    description: str = ""
    is_required: bool = True
    default: Any = None


class TypedInterface(Interface):
    """The interface of these fields. JSON is read strictly: a number is no text, a text no number.

    Args:
        inputs: what callers send.
        outputs: what they get.
        write: a value of the program's as a JSON value; raises ``TypeError`` when it has no such form.
    """

    def __init__(
        self,
        inputs: Sequence[TypedField],
        outputs: Sequence[TypedField],
        *,
        write: Callable[[Any], Any] = to_jsonable_python,
    ) -> None:
        self._inputs: TypeAdapter[dict[str, Any]] = _adapter("Inputs", inputs, is_closed=True)
        self._write = write
        self.input_schema: Mapping[str, Any] = self._inputs.json_schema(mode="validation")
        self.output_schema: Mapping[str, Any] = _adapter("Outputs", outputs).json_schema(mode="serialization")

    def __repr__(self) -> str:
        names = [", ".join(schema["properties"]) for schema in (self.input_schema, self.output_schema)]
        return f"<TypedInterface {' -> '.join(names)}>"

    def read(self, inputs: object) -> Mapping[str, Any]:
        """See ``Interface.read``."""
        try:
            return self._inputs.validate_json(to_json(inputs), strict=True)
        except ValidationError as error:
            raise _invalid(error) from None

    def written(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ``Interface.written``."""
        return {name: self._write(value) for name, value in outputs.items()}


def text_interface(inputs: Sequence[str], outputs: Sequence[str]) -> TypedInterface:
    """The interface of a program whose fields are all texts."""
    return TypedInterface(*([TypedField(name, str) for name in names] for names in (inputs, outputs)))


def _adapter(title: str, fields: Sequence[TypedField], *, is_closed: bool = False) -> TypeAdapter[Any]:
    """A dictionary with these keys, and no others if closed; unlike a model's, its keys may have any name."""
    kind = _TYPED_DICT(title, {field.name: _annotation(field) for field in fields})
    kind.__pydantic_config__ = ConfigDict(extra="forbid" if is_closed else "ignore")
    return TypeAdapter(kind)


def _annotation(field: TypedField) -> Any:
    shown: dict[str, Any] = {}
    if not field.is_required and field.default is not None:
        try:
            shown["default"] = to_jsonable_python(field.default)
        except PydanticSerializationError:
            shown = {}
    about = Field(description=field.description or None, json_schema_extra=shown or None)
    kind = _ANNOTATED[field.type, about]
    return kind if field.is_required else _NOT_REQUIRED[kind]


def _invalid(error: ValidationError) -> InvalidRequestError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    fields = tuple(
        FieldProblem(".".join(map(str, ("inputs", *at["loc"])))[:_MAX_FIELD_CHARS], at["msg"])
        for at in problems[:_MAX_PROBLEMS]
    )
    return InvalidRequestError(f"Not valid: {', '.join(at.field for at in fields)}.", fields=fields)
