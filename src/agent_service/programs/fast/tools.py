"""Tools whose checks of their arguments are made once, not at each call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from jsonschema.validators import validator_for
from pydantic import BaseModel, create_model

from agent_service.programs.fast.internals import settings_in_effect, stock_arguments
from agent_service.programs.streams.answer_predictor import is_watch_only

if TYPE_CHECKING:
    from collections.abc import Callable

_SIMPLE = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_WITHOUT_EFFECT = frozenset({"type", "title", "description", "default"})


class WrongArgumentsError(Exception):
    """The arguments are not plainly right; DSPy's own checks are to say what is wrong with them."""


class CheckedTool:
    """Calls a ``dspy.Tool`` as it calls itself: the same results, the same errors.

    Args:
        tool: of exactly that class; its arguments' schemas may be exchanged later, not changed in place.
    """

    def __init__(self, tool: dspy.Tool) -> None:
        self._tool = tool
        self._checks: dict[str, _Check | None] = {}

    @property
    def name(self) -> str | None:
        """The tool's name."""
        return self._tool.name  # type: ignore[no-any-return] # untyped

    @property
    def func(self) -> Callable[..., Any]:
        """The tool's function."""
        return self._tool.func  # type: ignore[no-any-return] # untyped

    def prepare(self) -> None:
        """Make the checks of all arguments, so that no call has to."""
        for name in self._tool.args:
            self._checks[name] = _Check.of(self._tool, name)

    async def acall(self, **arguments: Any) -> Any:
        """As ``dspy.Tool.acall``."""
        if self._is_observed():
            return await self._tool.acall(**arguments)
        result = self._tool.func(**self._parsed(arguments))
        return await result if asyncio.iscoroutine(result) else result

    def __call__(self, **arguments: Any) -> Any:
        """As ``dspy.Tool.__call__``."""
        if self._is_observed():
            return self._tool(**arguments)
        result = self._tool.func(**self._parsed(arguments))
        if asyncio.iscoroutine(result):
            return dspy.Tool(lambda: result, args={}, arg_types={})()  # DSPy's rules for async tools
        return result

    def _is_observed(self) -> bool:
        return not is_watch_only(settings_in_effect()["callbacks"]) or "callbacks" in vars(self._tool)

    def _parsed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            parsed = {name: self._check(name).parsed(value) for name, value in arguments.items()}
        except Exception:  # noqa: BLE001 - DSPy's checks say which error it is
            parsed = None
        return stock_arguments(self._tool, arguments) if parsed is None else parsed

    def _check(self, name: str) -> _Check:
        if name not in self._tool.args:
            raise WrongArgumentsError
        if name not in self._checks:
            self._checks[name] = _Check.of(self._tool, name)
        check = self._checks[name]
        if check is None or not check.holds(self._tool, name):
            raise WrongArgumentsError
        return check


@dataclass(frozen=True)
class _Check:
    """One argument's.

    Attributes:
        schema: what it was made of.
        annotation: the same.
        is_right: whether a value complies to the schema; None for a schema that asks for nothing.
        model: converts a value to its type; None where any type will do.
    """

    schema: dict[str, Any]
    annotation: Any
    is_right: Callable[[Any], bool] | None
    model: type[BaseModel] | None

    @classmethod
    def of(cls, tool: dspy.Tool, name: str) -> _Check | None:
        """The check, or None for one that cannot be made."""
        schema, annotation = tool.args[name], tool.arg_types.get(name, Any)
        try:
            return cls(schema, annotation, _complies(schema), _model(annotation))
        except Exception:  # noqa: BLE001 - DSPy fails on it at each call, in its own words
            return None

    def holds(self, tool: dspy.Tool, name: str) -> bool:
        return tool.args[name] is self.schema and tool.arg_types.get(name, Any) is self.annotation

    def parsed(self, value: Any) -> Any:
        if hasattr(value, "model_dump") or (self.is_right is not None and not self.is_right(value)):
            raise WrongArgumentsError
        if self.model is None:
            return value
        return self.model.model_validate({"value": value}).value  # type: ignore[attr-defined] # the one field


def _complies(schema: dict[str, Any]) -> Callable[[Any], bool] | None:
    kind = schema.get("type")
    if kind is None or kind == "Any":
        return None
    validator_class = validator_for(schema)
    validator_class.check_schema(schema)
    validator = validator_class(schema)
    if isinstance(kind, str) and kind in _SIMPLE and schema.keys() <= _WITHOUT_EFFECT:
        return lambda value: validator.is_type(value, kind)
    return lambda value: next(iter(validator.iter_errors(value)), None) is None


def _model(annotation: Any) -> type[BaseModel] | None:
    # As DSPy has it, not a TypeAdapter: the two may treat a type's metadata differently.
    return None if annotation == Any else create_model("Wrapper", value=(annotation, ...))
