"""Values as plain data that two runs can be compared by: types and order count, identities do not."""

from __future__ import annotations

import dataclasses
import enum
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import dspy
import pydantic
from dspy.primitives.prediction import Completions
from dspy.signatures.signature import SignatureMeta

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'^  File "[^"\n]*", line \d+, in \S+\n(?:    .*\n)*', re.MULTILINE)
_OURS = "agent_service."
_DEEPEST = 12


def described(value: Any, depth: int = 0) -> Any:
    """``value`` as nested tuples of texts."""
    if depth > _DEEPEST:
        return "..."
    kind: Any = type(value)
    describe = _describer(kind)
    if describe is not None:
        return describe(value, depth + 1)
    if isinstance(value, type):
        return ("type", _name(value))
    if dataclasses.is_dataclass(value):
        fields = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return (_name(type(value)), _pairs(fields, depth + 1))
    return (_name(type(value)), _shown(value))


@cache
def _describer(kind: Any) -> Callable[[Any, int], Any] | None:
    return next((describe for kinds, describe in _DESCRIBERS if issubclass(kind, kinds)), None)


def plain_text(text: str) -> str:
    """Without addresses, and without the frames of tracebacks: those name the code that ran."""
    text = _ADDRESS.sub("", text)
    return _FRAME.sub("", text) if _TRACEBACK in text else text


def stock_name(kind: type) -> str:
    """The name of a class; that of the class it stands for when it is one of the service's."""
    return next(_name(base) for base in kind.__mro__ if not base.__module__.startswith(_OURS))


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _pairs(pairs: Any, depth: int) -> tuple[Any, ...]:
    return tuple((described(key, depth), described(item, depth)) for key, item in pairs)


def _text(value: str, _: int) -> Any:
    return plain_text(value) if type(value) is str else (_name(type(value)), plain_text(value))


def _error(error: BaseException, depth: int) -> Any:
    """Type, text, attributes, and the same of what it came from."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    attributes = {name: item for name, item in vars(error).items() if item is not error}
    return (
        _name(type(error)),
        plain_text(str(error)),
        described(error.args, depth),
        _pairs(sorted(attributes.items()), depth),
        ("caused by", error.__cause__ is not None, described(cause, depth)),
    )


def _signature(signature: Any, depth: int) -> Any:
    fields = [
        (name, field.annotation, field.json_schema_extra, field.default)
        for name, field in signature.fields.items()
    ]
    return ("signature", signature.__name__, signature.instructions, described(fields, depth))


def _module(module: dspy.Module, depth: int) -> Any:
    signature = getattr(module, "signature", None)
    fields = list(signature.fields) if signature is not None else None
    return ("module", stock_name(type(module)), described(fields, depth))


def _prediction(prediction: Any, depth: int) -> Any:
    usage = prediction.get_lm_usage() if isinstance(prediction, dspy.Prediction) else None
    return (
        _name(type(prediction)),
        _pairs(dict(prediction).items(), depth),
        described(getattr(prediction, "_completions", None), depth),
        described(usage, depth),
        tuple(sorted(vars(prediction))),
        _shown(prediction),
    )


def _shown(value: Any) -> str:
    try:
        return plain_text(repr(value))
    except (RuntimeError, StopIteration, ValueError) as error:  # DSPy's repr fails on a prediction of nothing
        return f"cannot be shown: {type(error).__name__}"


def _completions(completions: Any, depth: int) -> Any:
    fields = vars(completions)["_completions"]
    return ("completions", _pairs(fields.items(), depth), described(completions.signature, depth))


def _model(model: pydantic.BaseModel, depth: int) -> Any:
    return (_name(type(model)), _pairs(vars(model).items(), depth), tuple(sorted(model.model_fields_set)))


_DESCRIBERS: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, lambda value, _: repr(value)),
    (str, _text),
    (SignatureMeta, _signature),
    (dspy.Module, _module),
    (dspy.LM, lambda lm, depth: ("lm", lm.model, described(lm.kwargs, depth))),
    (dspy.Adapter, lambda adapter, _: ("adapter", stock_name(type(adapter)))),
    (dspy.Tool, lambda tool, _: ("tool", tool.name)),
    (dspy.Example, _prediction),
    (Completions, _completions),
    (BaseException, _error),
    (pydantic.BaseModel, _model),
    (dict, lambda value, depth: (_name(type(value)), _pairs(value.items(), depth))),
    (
        (list, tuple),
        lambda value, depth: (_name(type(value)), tuple(described(item, depth) for item in value)),
    ),
    (
        (set, frozenset),
        lambda value, depth: (
            _name(type(value)),
            tuple(sorted((described(item, depth) for item in value), key=repr)),
        ),
    ),
)
