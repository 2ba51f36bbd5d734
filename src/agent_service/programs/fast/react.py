"""The fast twin of ``dspy.ReAct``: the same episode, whose steps are written into the prompt once each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.exceptions import ContextWindowExceededError

from agent_service.programs.fast.internals import (
    Calling,
    agent_prediction,
    astock_observation,
    fields_of,
    format_error_for_lm,
    is_stock_finish,
    settings_in_effect,
    state_of,
    stock_observation,
)
from agent_service.programs.fast.plans.values import formatted, is_constant
from agent_service.programs.fast.predict import Twin, is_unobserved, passing_for
from agent_service.programs.tools import SeamTool

if TYPE_CHECKING:
    from collections.abc import Mapping

_FRAMES = 5
_ATTEMPTS = 3
_OWN_NAMES = frozenset({"instance", "module", "self", "trajectory"})
_TEXT_FIELD = dspy.Signature("value -> answer").input_fields["value"]
_log = logging.getLogger("dspy.predict.react")


@passing_for(dspy.ReAct)
class FastReAct(Twin, dspy.ReAct):
    """Runs the episode itself where nobody observes it; otherwise it is ``dspy.ReAct``."""

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.ReAct.acall``."""
        settings = settings_in_effect()
        if args or _OWN_NAMES & kwargs.keys() or not is_unobserved(self, settings):
            return await super().acall(*args, **kwargs)
        with Calling(self, settings):
            return await _Episode(self, kwargs).arun()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.ReAct.__call__``."""
        settings = settings_in_effect()
        if args or _OWN_NAMES & kwargs.keys() or not is_unobserved(self, settings):
            return super().__call__(*args, **kwargs)
        with Calling(self, settings):
            return _Episode(self, kwargs).run()


class _Episode:
    """One query's steps. The order of things is that of ``dspy.ReAct.aforward``."""

    def __init__(self, agent: dspy.ReAct, inputs: dict[str, Any]) -> None:
        state = state_of(agent)
        self._agent = agent
        self._tools: Mapping[str, Any] = state["tools"]
        self._react, self._extract = state["react"], state["extract"]
        self._steps = range(inputs.pop("max_iters", state["max_iters"]))
        self._inputs = inputs
        self._trajectory = _Trajectory()

    async def arun(self) -> dspy.Prediction:
        for number in self._steps:
            try:
                choice = await self._aask(self._react)
            except (ContextWindowExceededError, ValueError) as error:
                _warn_of_end(error)
                break
            thought, name, arguments = _chosen(choice)
            self._trajectory.choose(number, thought, name, arguments)
            self._trajectory.observe(number, await self._aobservation(choice, name, arguments))
            if name == "finish":
                break
        extract = await self._aask(self._extract)
        return agent_prediction(self._trajectory.steps, extract)

    def run(self) -> dspy.Prediction:
        for number in self._steps:
            try:
                choice = self._ask(self._react)
            except (ContextWindowExceededError, ValueError) as error:
                _warn_of_end(error)
                break
            thought, name, arguments = _chosen(choice)
            self._trajectory.choose(number, thought, name, arguments)
            self._trajectory.observe(number, self._observation(choice, name, arguments))
            if name == "finish":
                break
        extract = self._ask(self._extract)
        return agent_prediction(self._trajectory.steps, extract)

    async def _aask(self, module: dspy.Module) -> Any:
        steps, last_error = self._trajectory.steps, None
        for _ in range(_ATTEMPTS):
            try:
                return await module.acall(**self._inputs, trajectory=self._trajectory.text(steps))
            except ContextWindowExceededError as error:
                last_error, steps = error, self._truncated(steps)
        raise _too_long() from last_error

    def _ask(self, module: dspy.Module) -> Any:
        steps, last_error = self._trajectory.steps, None
        for _ in range(_ATTEMPTS):
            try:
                return module(**self._inputs, trajectory=self._trajectory.text(steps))
            except ContextWindowExceededError as error:
                last_error, steps = error, self._truncated(steps)
        raise _too_long() from last_error

    def _truncated(self, steps: dict[str, Any]) -> dict[str, Any]:
        _log.warning("Trajectory exceeded the context window, truncating the oldest tool call information.")
        return self._agent.truncate_trajectory(steps)  # type: ignore[no-any-return] # untyped

    async def _aobservation(self, choice: Any, name: str, arguments: Any) -> Any:
        tool: Any = self._tools.get(name)
        if _takes(tool, arguments):
            return await tool.acall(**arguments)
        return tool.func() if _finishes(tool, arguments) else await astock_observation(self._tools, choice)

    def _observation(self, choice: Any, name: str, arguments: Any) -> Any:
        tool: Any = self._tools.get(name)
        if _takes(tool, arguments):
            return tool(**arguments)
        return tool.func() if _finishes(tool, arguments) else stock_observation(self._tools, choice)


class _Trajectory:
    """The steps so far and their text, of which only what is new is formatted."""

    def __init__(self) -> None:
        self.steps: dict[str, Any] = {}
        self._texts: dict[str, tuple[Any, str]] = {}

    def choose(self, number: int, thought: Any, name: Any, arguments: Any) -> None:
        self.steps[f"thought_{number}"] = thought
        self.steps[f"tool_name_{number}"] = name
        self.steps[f"tool_args_{number}"] = arguments

    def observe(self, number: int, observation: Any) -> None:
        self.steps[f"observation_{number}"] = observation

    def text(self, steps: Mapping[str, Any]) -> str:
        """See ``dspy.ReAct._format_trajectory``."""
        parts = [
            f"[[ ## {name} ## ]]\n{value if type(value) is str else self._formatted(name, value)}"
            for name, value in steps.items()
        ]
        return "\n\n".join(parts).strip()

    def _formatted(self, name: str, value: Any) -> str:
        known = self._texts.get(name)
        if known is not None and known[0] is value:
            return known[1]
        text = formatted(_TEXT_FIELD, value)
        # An observation's container is in the tool's hands; the arguments' is not.
        if is_constant(value) and not (type(value) is dict and name.startswith("observation_")):
            self._texts[name] = value, text
        return text


def _chosen(choice: Any) -> tuple[Any, Any, Any]:
    """Thought, tool and arguments; by attribute, which is slow, from what is no prediction or lacks one."""
    fields = fields_of(choice) if type(choice) is dspy.Prediction else {}
    if "next_thought" in fields and "next_tool_name" in fields and "next_tool_args" in fields:
        return fields["next_thought"], fields["next_tool_name"], fields["next_tool_args"]
    return choice.next_thought, choice.next_tool_name, choice.next_tool_args


def _takes(tool: Any, arguments: Any) -> bool:
    """Whether its failures become observations without DSPy's traceback, and its arguments fit a call."""
    is_ours = type(tool) is SeamTool and tool.is_observing
    return is_ours and type(arguments) is dict and "self" not in arguments


def _finishes(tool: Any, arguments: Any) -> bool:
    return arguments == {} and tool is not None and is_stock_finish(tool)


def _too_long() -> ContextWindowExceededError:
    return ContextWindowExceededError(
        message="The context window was exceeded even after 3 attempts to truncate the trajectory."
    )


def _warn_of_end(error: Exception) -> None:
    kind = "" if isinstance(error, ContextWindowExceededError) else "Agent failed to select a valid tool: "
    _log.warning("Ending the trajectory: %s%s", kind, format_error_for_lm(error, traceback_frames=_FRAMES))
