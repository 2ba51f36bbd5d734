"""Gives a program's stock modules their fast twins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.programs.fast import compiled
from agent_service.programs.fast.predict import FastChainOfThought, FastPredict
from agent_service.programs.fast.react import FastReAct
from agent_service.programs.fast.tools import CheckedTool
from agent_service.programs.tools import SeamTool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TWINS = {dspy.Predict: FastPredict, dspy.ChainOfThought: FastChainOfThought, dspy.ReAct: FastReAct}


@dataclass(frozen=True)
class Acceleration:
    """What became of the parts of a program, by dotted name as ``named_sub_modules`` gives it.

    Attributes:
        fast: the modules that are accelerated.
        stock: the modules that are left as they are, with the reason.
    """

    fast: tuple[str, ...] = ()
    stock: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        fast = ", ".join(self.fast) or "nothing"
        stock = "; ".join(f"{name}: {reason}" for name, reason in self.stock.items()) or "nothing"
        return f"accelerated: {fast}. Left to DSPy: {stock}"


def accelerate(module: dspy.Module) -> Acceleration:
    """Give every part of ``module`` that is exactly a stock DSPy module its fast twin, in place.

    A twin is the same object with the same state, and does what the stock module does: the same requests,
    answers and errors. Once is enough; twice does no harm. Tools are accelerated that are at the seam.
    """
    fast, stock = [], {}
    for name, part in list(module.named_sub_modules()):
        reason = _accelerate_part(part)
        if reason is None:
            fast.append(name)
        else:
            stock[name] = reason
    return Acceleration(tuple(fast), stock)


def prepare(module: dspy.Module, lm: dspy.LM) -> None:
    """Compile what an accelerated ``module`` needs to ask ``lm``, so that its first query costs no more."""
    for _, part in module.named_sub_modules():
        if isinstance(part, FastPredict):
            compiled.prepare(part, lm)
        for tool in _tools(part):
            if isinstance(tool.callee, CheckedTool):
                tool.callee.prepare()


def _accelerate_part(part: Any) -> str | None:
    """Why it stays with DSPy, or None."""
    for tool in _tools(part):
        if type(tool.stock) is dspy.Tool:
            tool.call_by(CheckedTool)
    kind = type(part)
    if kind is dspy.ReActV2:
        return "its loop is DSPy's; its steps are accelerated"
    if kind not in _TWINS and kind not in _TWINS.values():
        return f"{kind.__module__}.{kind.__qualname__} is no module that has a fast twin"
    part.__class__ = _TWINS.get(kind, kind)
    return compiled.reason_against(part) if isinstance(part, FastPredict) else None


def _tools(part: Any) -> Iterator[SeamTool]:
    for value in vars(part).values():
        values = value.values() if isinstance(value, dict) else value
        if isinstance(values, (SeamTool, list, tuple)) or isinstance(value, dict):
            yield from _seam_tools(values)


def _seam_tools(values: Any) -> Iterator[SeamTool]:
    members = (values,) if isinstance(values, SeamTool) else values
    return (member for member in members if isinstance(member, SeamTool))
