"""The names of DSPy's modules and settings which are not public. To be read at each upgrade of DSPy.

They are gathered here on purpose, so the rule against them is off for the file.
"""
# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from dspy.dsp.utils.settings import main_thread_config, thread_local_overrides
from dspy.dsp.utils.utils import dotdict
from dspy.predict import react as _react
from dspy.primitives.base_module import BaseModule
from dspy.primitives.prediction import Completions
from dspy.utils.exceptions import format_error_for_lm

from agent_service.programs.fast.lm_internals import kind_of
from agent_service.programs.streams.answer_predictor import is_watch_only

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "METHODS",
    "PRIVILEGED",
    "Calling",
    "agent_prediction",
    "astock_observation",
    "fields_of",
    "format_error_for_lm",
    "is_quiet",
    "is_stock_finish",
    "prediction_of",
    "settings_in_effect",
    "state_of",
    "stock_arguments",
    "stock_observation",
]

PRIVILEGED = frozenset(
    {"_trace", "args", "completions", "config", "demos", "instance", "lm", "new_signature", "prediction"}
    | {"self", "signature"}
)
"""Arguments of a predictor that are no inputs, or clash with parameters on the way."""
METHODS = frozenset(
    {"forward", "aforward", "_forward_preprocess", "_forward_postprocess", "_should_stream"}
    | {"_format_trajectory", "_call_with_potential_trajectory_truncation"}
    | {"_async_call_with_potential_trajectory_truncation"}
)
"""What DSPy calls of a module on the way, and somebody may have replaced on one object."""
_PARAMETERS = frozenset({"base", "self", "trajectory"})
"""What an agent's prediction cannot be made with, or means something else."""
state_of: Callable[[Any], dict[str, Any]] = vars(BaseModule)["__dict__"].__get__
"""A module's attributes, past its ``__getattribute__``, which is slow."""


class Calling:
    """Within, DSPy's settings name ``module`` as the innermost that was called."""

    def __init__(self, module: dspy.Module, settings: Mapping[str, Any]) -> None:
        callers = [*(settings["caller_modules"] or ()), module]
        self._settings = dotdict({**settings, "caller_modules": callers})

    def __enter__(self) -> None:
        self._token = thread_local_overrides.set(self._settings)

    def __exit__(self, *_: object) -> None:
        thread_local_overrides.reset(self._token)


def settings_in_effect() -> Mapping[str, Any]:
    """DSPy's settings as they hold here and now, read in one go."""
    overrides: dict[str, Any] = thread_local_overrides.get()
    # A context's overrides are complete; DSPy's worker threads may set some alone.
    return overrides if "callbacks" in overrides else {**main_thread_config, **overrides}


def is_quiet(settings: Mapping[str, Any]) -> bool:
    """Whether nobody listens, records or counts, and the adapter is known."""
    callbacks, adapter = settings["callbacks"], settings["adapter"]
    return (
        (not callbacks or is_watch_only(callbacks))
        and settings["send_stream"] is None
        and not settings["track_usage"]
        and not settings["usage_tracker"]
        and settings["disable_history"] is True
        and not settings["warn_on_type_mismatch"]
        and (adapter is None or kind_of(adapter) is not None)
    )


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a dict, an example or a prediction."""
    return record if type(record) is dict else record._store


def prediction_of(fields: dict[str, Any], signature: Any) -> dspy.Prediction:
    """``dspy.Prediction.from_completions([fields], signature)``, of fields that are known to be right."""
    completions = object.__new__(Completions)
    vars(completions).update(
        signature=signature, _completions={name: [value] for name, value in fields.items()}
    )
    prediction = object.__new__(dspy.Prediction)
    vars(prediction).update(_store=fields, _completions=completions, _lm_usage=None)
    return prediction


def agent_prediction(trajectory: dict[str, Any], extract: Any) -> dspy.Prediction:
    """``dspy.Prediction(trajectory=trajectory, **extract)``."""
    fields = extract._store if type(extract) is dspy.Prediction else None
    if fields is None or any(name in _PARAMETERS or name.startswith("dspy_") for name in fields):
        return dspy.Prediction(trajectory=trajectory, **extract)
    prediction = object.__new__(dspy.Prediction)
    vars(prediction).update(_store={"trajectory": trajectory, **fields}, _completions=None, _lm_usage=None)
    return prediction


class _OneStep:
    """In the place of a ReAct module: one step whose choice is made, and nothing to extract."""

    max_iters = 1
    react = "react"
    extract = "extract"

    def __init__(self, tools: Mapping[str, dspy.Tool], choice: dspy.Prediction) -> None:
        self.tools = tools
        self._choice = choice

    def _call_with_potential_trajectory_truncation(self, module: str, _: object) -> dspy.Prediction:
        return self._choice if module == self.react else dspy.Prediction()

    async def _async_call_with_potential_trajectory_truncation(
        self, module: str, _: object
    ) -> dspy.Prediction:
        return self._choice if module == self.react else dspy.Prediction()


def stock_observation(tools: Mapping[str, dspy.Tool], choice: dspy.Prediction) -> Any:
    """What ReAct observes of the tool that was chosen; of a failure, DSPy's traceback and all."""
    return dspy.ReAct.forward(_OneStep(tools, choice)).trajectory["observation_0"]


async def astock_observation(tools: Mapping[str, dspy.Tool], choice: dspy.Prediction) -> Any:
    """The same for asynchronous code."""
    prediction = await dspy.ReAct.aforward(_OneStep(tools, choice))
    return prediction.trajectory["observation_0"]


def is_stock_finish(tool: dspy.Tool) -> bool:
    """Whether it is the tool that ReAct adds, which cannot fail when it is called without arguments."""
    return type(tool) is dspy.Tool and getattr(tool.func, "__module__", "") == _react.__name__


def stock_arguments(tool: dspy.Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as DSPy checks and converts them at each call.

    Raises:
        Exception: what DSPy raises for wrong ones.
    """
    return tool._validate_and_parse_args(**arguments)  # type: ignore[no-any-return] # untyped
