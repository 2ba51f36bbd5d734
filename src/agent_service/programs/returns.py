"""What a ``forward`` of the user's own returns, as far as its source says so."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREDICTION = "Prediction"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def returned_names(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names in ``return dspy.Prediction(name=..., ...)`` or ``return {"name": ...}``, in order.

    Empty where the source is not there, or where any of its returns is of another kind: then there is no
    telling without a run.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method))))
    except (OSError, TypeError, SyntaxError):
        return ()
    found = [_names(value) for value in _returned(tree.body[0])]
    if not found or None in found:
        return ()
    return tuple(dict.fromkeys(name for names in found for name in names or ()))


def _returned(function: ast.AST) -> Iterator[ast.expr | None]:
    """The values of a function's own returns, not of those that are defined in it."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Return):
            yield node.value
        elif not isinstance(node, _SCOPES):
            yield from _returned(node)


def _names(value: ast.expr | None) -> list[str] | None:
    """None when they cannot be told."""
    names: list[object] = [None]
    if isinstance(value, ast.Call) and not value.args and _is_prediction(value.func):
        names = [keyword.arg for keyword in value.keywords]
    elif isinstance(value, ast.Dict):
        names = [getattr(key, "value", None) for key in value.keys]
    told = [name for name in names if isinstance(name, str)]
    return told if len(told) == len(names) else None


def _is_prediction(called: ast.expr) -> bool:
    return _PREDICTION in {getattr(called, "attr", None), getattr(called, "id", None)}
