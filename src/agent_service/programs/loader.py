"""From an import string to a module that can be served; refuses what it cannot serve and says why."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import linecache
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.programs.sandbox import lacks_sandbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dspy.clients.base_lm import BaseLM

_HERE = Path(__file__).parent
_CONFIGURED: dict[str, BaseLM] = {}
_WORK: dict[type[BaseException], str] = {
    dspy.LMError: "asks a language model",
    EOFError: "reads from the terminal",
    SystemExit: "ends the process",
}


class LoadError(Exception):
    """A program or tool cannot be served. The message is for whoever starts the service."""


def load_module(path: str, *, tools: Sequence[dspy.Tool] = ()) -> dspy.Module:
    """The module that ``package.module:attribute`` names: an instance, a class or a factory.

    A factory may be a coroutine function. It runs on an event loop of its own, which is over when it
    returns: connections that belong to a loop are for the module to open when it is asked. A class or a
    factory with a parameter ``tools`` that has no default is given ``tools``, as a list.

    Raises:
        LoadError: when it cannot be imported, is no module, or needs arguments.
    """
    before = dspy.settings.lm
    module = _loaded(path, tools)
    if dspy.settings.lm is not before:
        _CONFIGURED[path.partition(":")[0]] = dspy.settings.lm
    return module


def _loaded(path: str, tools: Sequence[dspy.Tool]) -> dspy.Module:
    found = _attribute(path)
    if isinstance(found, dspy.Module):
        return _callable(path, found)
    if not callable(found) or _is_other_class(found):
        raise LoadError(
            f"{path} is {_kind(found)}, not a dspy.Module, a class of one or a function that makes one"
            f"{_hint(found) or _others(path)}"
        )
    made = _make(path, found, tools)
    if not isinstance(made, dspy.Module):
        raise LoadError(
            f"{path} made a {type(made).__name__}, not a dspy.Module{_hint(made) or _others(path)}"
        )
    return _callable(path, made)


def configured_lm(path: str) -> BaseLM | None:
    """The LM that the module of ``path`` configured when it was loaded first; None when it did not.

    DSPy itself knows only the last one, which may be another program's.
    """
    return _CONFIGURED.get(path.partition(":")[0])


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
        raise LoadError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error}{_place(error)}"
            f"{_advice(error)}"
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            there = ", ".join(_programs_in(found)) or "no program"
            raise LoadError(f"{module_name} has no attribute {attribute}; there is {there}")
        found = getattr(found, name)
    return found


def _programs_in(found: Any) -> list[str]:
    """Names in a module that could be served."""
    return sorted(
        name
        for name, value in vars(found).items()
        if isinstance(value, dspy.Module)
        or (
            isinstance(value, type)
            and issubclass(value, dspy.Module)
            and value.__module__ == getattr(found, "__name__", "")
        )
    )


def _callable(path: str, module: dspy.Module) -> dspy.Module:
    """The module, if a query can call it: not one whose author calls other methods of it."""
    if lacks_sandbox(module):
        raise LoadError(f'{path} runs code in DSPy\'s sandbox, which needs Deno: pip install "dspy[deno]"')
    kind = type(module)
    if hasattr(kind, "forward") or hasattr(kind, "aforward"):
        return module
    part = next((name for name, value in vars(module).items() if isinstance(value, dspy.Module)), None)
    instead = f", or serve {path}.{part}" if part else ""
    raise LoadError(f"{path} has no forward, which is what a query calls: give {kind.__name__} one{instead}")


def _others(path: str) -> str:
    """What could be named instead."""
    module_name = path.partition(":")[0]
    found = [name for name in _programs_in(sys.modules[module_name]) if path != f"{module_name}:{name}"]
    return f"; there is {', '.join(found)}" if found else ""


def _make(path: str, factory: Callable[..., Any], tools: Sequence[dspy.Tool]) -> Any:
    needed = _needed(factory)
    given = {"tools": list(tools)} if "tools" in needed else {}
    needed = [name for name in needed if name not in given]
    if needed:
        raise LoadError(
            f"{path} needs arguments ({', '.join(needed)}); name a function that makes the program without "
            "them (one that takes `tools` is given those)"
        )
    try:
        made = factory(**given)
        return _awaited(made) if inspect.iscoroutine(made) else made
    except (Exception, SystemExit) as error:
        raise LoadError(f"{path} failed: {type(error).__name__}: {error}{_place(error)}") from error


def _awaited(made: Awaitable[Any]) -> Any:
    """In a thread, because the caller may be on an event loop of its own."""

    async def wait() -> Any:
        return await made

    with ThreadPoolExecutor(1, "factory") as thread:
        return thread.submit(asyncio.run, wait()).result()


def _place(error: BaseException) -> str:
    """The line that raised ``error``, as far as it is no line of a library: what its author can change."""
    if isinstance(error, SyntaxError) and error.filename:
        return _line(error.filename, error.lineno or 0)
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_file()
        and not Path(frame.filename).is_relative_to(_HERE)
        and not {"site-packages", "dist-packages"} & set(Path(frame.filename).parts)
        and not frame.filename.startswith(str(Path(asyncio.__file__).parent.parent))
    ]
    return _line(own[-1].filename, own[-1].lineno or 0) if own else ""


def _line(filename: str, number: int) -> str:
    text = linecache.getline(filename, number).strip()
    return f"\n  {filename}:{number}" + (f"\n    {text}" if text else "")


def _advice(error: BaseException) -> str:
    """What to do about a script's or a notebook's own work, which runs whenever it is imported."""
    does = next((does for kind, does in _WORK.items() if isinstance(error, kind)), None)
    if does is None:
        return ""
    return f'\n  It {does} while it is imported: put that under `if __name__ == "__main__":`'


def _kind(found: Any) -> str:
    if _is_signature(found):
        return "a dspy.Signature"
    return f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"


def _is_other_class(found: Any) -> bool:
    return isinstance(found, type) and not issubclass(found, dspy.Module)


def _is_signature(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, dspy.Signature)


def _hint(found: Any) -> str:
    """What to do about things that are nearly programs."""
    if _is_signature(found):
        return f"; serve dspy.Predict({found.__name__}) or another module of it"
    if isinstance(found, type(dspy)):
        return "; name what is in it"
    return ""


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
