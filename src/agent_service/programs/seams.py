"""Takes a module to the seams: every LM and every tool that can be found on it, in place."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import dspy
from dspy.clients.base_lm import BaseLM

if TYPE_CHECKING:
    from agent_service.programs.lm.upstreams import Upstreams
    from agent_service.programs.tools import ToolSeam

_AGENTS = {dspy.ReAct: "finish", dspy.ReActV2: "submit"}
"""DSPy's agents, which turn their tools' failures into observations, and the tool each ends with."""
_NOT_PARTS = frozenset({"callbacks", "demos", "history", "signature", "traces", "train"})


class SeamTaker:
    """Replaces LMs and tools by their counterparts at the seams and remembers which tools it met."""

    def __init__(self, *, upstreams: Upstreams, tools: ToolSeam) -> None:
        self.tool_names: tuple[str, ...] = ()
        self._upstreams = upstreams
        self._tools = tools

    def take(self, module: dspy.Module) -> None:
        """Change ``module`` and all modules below it.

        Raises:
            LoadError: when it brings a language model that cannot be taken to the seam.
        """
        for _, part in module.named_sub_modules():
            if isinstance(part, dspy.Module):
                self._take_part(part)

    def _take_part(self, module: dspy.Module) -> None:
        for name, value in list(vars(module).items()):
            if name not in _NOT_PARTS:
                taken = self._taken(value, owner=module)
                if taken is not value:
                    setattr(module, name, taken)

    def _taken(self, value: Any, *, owner: dspy.Module) -> Any:
        """The counterpart of a value; the value itself when nothing in it concerns the seams."""
        if isinstance(value, dspy.Tool):
            return self._taken_tool(value, owner)
        if isinstance(value, BaseLM):
            return self._upstreams.take(value)
        if isinstance(value, dict):
            return _kept(value, {key: self._taken(item, owner=owner) for key, item in value.items()})
        if type(value) in {list, tuple}:
            return _kept(value, type(value)(self._taken(item, owner=owner) for item in value))
        return value

    def _taken_tool(self, tool: dspy.Tool, owner: dspy.Module) -> dspy.Tool:
        last = next((last for kind, last in _AGENTS.items() if isinstance(owner, kind)), None)
        if tool.name == last:
            return tool
        if tool.name not in self.tool_names:
            self.tool_names = (*self.tool_names, tool.name)
        return self._tools.take(tool, observing=last is not None)


def _kept(before: Any, after: Any) -> Any:
    """``before``, the very object, unless a member of it was replaced."""
    old, new = (list(part.values() if isinstance(part, dict) else part) for part in (before, after))
    return before if all(map(operator.is_, old, new)) else after
