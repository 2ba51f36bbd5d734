"""From an import string to a module that can be served; refuses what it cannot serve and says why."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

if TYPE_CHECKING:
    from collections.abc import Callable


class LoadError(Exception):
    """A program or tool cannot be served. The message is for whoever starts the service."""


def load_module(path: str) -> dspy.Module:
    """The module that ``package.module:attribute`` names: an instance, a class or a factory.

    Raises:
        LoadError: when it cannot be imported, is no module, or needs arguments.
    """
    found = _attribute(path)
    if isinstance(found, dspy.Module):
        return found
    if not callable(found):
        kind = type(found).__name__
        raise LoadError(f"{path} is a {kind}, not a dspy.Module, a class of one or a function that makes one")
    made = _make(path, found)
    if not isinstance(made, dspy.Module):
        raise LoadError(f"{path} made a {type(made).__name__}, not a dspy.Module")
    return made


def load_tool(path: str) -> dspy.Tool:
    """The tool that ``package.module:function`` names; a function becomes one.

    Raises:
        LoadError: when it cannot be imported or called, or its arguments cannot be described.
    """
    found = _attribute(path)
    if isinstance(found, dspy.Tool):
        return found
    if not callable(found):
        raise LoadError(f"{path} is a {type(found).__name__}, not a function")
    try:
        return dspy.Tool(found)
    except Exception as error:
        raise LoadError(f"{path} is no tool: {type(error).__name__}: {error}") from error


def _attribute(path: str) -> Any:
    module_name, separator, attribute = path.partition(":")
    if not (module_name and separator and attribute):
        raise LoadError(f"{path!r} is not of the form package.module:attribute")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise LoadError(f"{module_name} has no attribute {attribute}")
        found = getattr(found, name)
    return found


def _make(path: str, factory: Callable[..., Any]) -> Any:
    needed = _needed(factory)
    if needed:
        raise LoadError(
            f"{path} needs arguments ({', '.join(needed)}); name a function that makes the program"
        )
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise LoadError(f"{path} failed: {type(error).__name__}: {error}") from error


def _needed(factory: Callable[..., Any]) -> list[str]:
    """Parameters without a default. A class is asked for its ``__init__``: DSPy's metaclass hides it."""
    called = factory
    if isinstance(factory, type):
        called = functools.partial(factory.__init__, None)  # type: ignore[misc] # of this very class; never called
    return [
        name
        for name, parameter in inspect.signature(called).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
