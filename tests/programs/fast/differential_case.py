"""A case of the comparison between DSPy's own modules and their fast twins, and how it is judged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dspy

from tests.programs.conftest import said
from tests.programs.fast.differential_world import Record, Rooms, Stage, Twin, played

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from dspy import lm15

BOTH = ("async", "sync")


def no_settings(_: Stage) -> Mapping[str, Any]:
    """DSPy's settings as a run has them."""
    return {}


@dataclass(frozen=True)
class Case:
    """A program, what it is asked and what its model answers.

    Attributes:
        name: which case it is, in reports.
        make: builds the module anew for each side.
        inputs: of the one query, unless ``play`` says otherwise; each side has a copy.
        replies: the model's, in order; the last one is repeated. Or a function of the request.
        settings: DSPy's, within each query.
        lm: the default LM's own arguments.
        can: what the model can do: ``tools``, ``schema``, ``reasoning``, ``params``.
        limits: of the run.
        play: what is done with the module instead of one query.
        modes: as a coroutine of the loop (``async``), from a thread (``sync``).
        unordered: whether the program does several things at once, so that their order says nothing.
    """

    name: str
    make: Callable[[Stage], dspy.Module]
    inputs: Mapping[str, Any] = field(default_factory=lambda: {"question": "What is 2+2?"})
    replies: Sequence[Any] | Callable[[lm15.Request], Any] = (said(reasoning="sum", answer="4"),)
    settings: Callable[[Stage], Mapping[str, Any]] = no_settings
    lm: Mapping[str, Any] = field(default_factory=dict)
    can: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    play: Callable[[Stage, dspy.Module], Awaitable[None]] | None = None
    modes: tuple[str, ...] = BOTH
    unordered: bool = False

    def __str__(self) -> str:
        return self.name


async def differences(case: Case, *, twin: Twin, mode: str, rooms: Rooms) -> dict[str, tuple[Any, Any]]:
    """Where the fast side differs from the stock one: by what it was seen from, both sides."""
    stock = await played(case, twin=None, mode=mode, rooms=rooms)
    fast = await played(case, twin=twin, mode=mode, rooms=rooms)
    return _different(stock, fast)


def _different(stock: Record, fast: Record) -> dict[str, tuple[Any, Any]]:
    pairs = ((part.name, getattr(stock, part.name), getattr(fast, part.name)) for part in fields(Record))
    return {name: first for name, before, after in pairs if (first := _first(before, after))}


def _first(before: Any, after: Any) -> tuple[Any, Any] | None:
    """The innermost first place where two descriptions differ, or None."""
    if before == after and repr(before) == repr(after):
        return None
    both = (before, after)
    if all(isinstance(side, (list, tuple)) for side in both) and len(before) == len(after):
        inner = (_first(one, other) for one, other in zip(before, after, strict=True))
        return next((found for found in inner if found), both)
    return both


def predictor(
    name: str, signature: Any, inputs: Mapping[str, Any], *replies: Any, kind: Any = dspy.Predict, **more: Any
) -> Case:
    """A case of one predictor; ``signature`` is what it is made from."""
    return Case(name, lambda _: kind(_made(signature)), inputs=inputs, replies=replies, **more)


@lru_cache
def _made(signature: Any) -> Any:
    """To make one takes DSPy longer than a query, and both sides can have the same."""
    return dspy.Signature(signature) if isinstance(signature, str) else signature


def step(tool: str, /, thought: str = "so", **arguments: Any) -> str:
    """One step of a ReAct agent."""
    return said(next_thought=thought, next_tool_name=tool, next_tool_args=json.dumps(arguments))


def as_json(**values: Any) -> str:
    """An answer as JSONAdapter asks for it."""
    return json.dumps(values)


def raising(make: Callable[[], BaseException]) -> Callable[[Stage], Any]:
    """A reply that is an error, made anew for each side."""

    def reply(_: Stage) -> Any:
        raise make()

    return reply
