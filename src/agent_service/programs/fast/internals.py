"""The only place that knows names of DSPy which are not public. To be read at each upgrade of DSPy.

They are gathered here on purpose, so the rule against them is off for the file.
"""
# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from dspy import lm15
from dspy.adapters.base import _DEFAULT_NATIVE_RESPONSE_TYPES
from dspy.adapters.chat_adapter import field_header_pattern as FIELD_HEADER  # noqa: N812 - a constant by nature
from dspy.adapters.decision import resolve_adapter
from dspy.adapters.json_adapter import _get_structured_outputs_response_format, _has_open_ended_mapping
from dspy.adapters.types.base_type import CUSTOM_TYPE_START_IDENTIFIER as CUSTOM_TYPE_MARK
from dspy.adapters.types.base_type import Type
from dspy.adapters.utils import find_enum_member, format_field_value, parse_value
from dspy.clients.call_result import legacy_output
from dspy.clients.errors import wrap_error
from dspy.clients.execution import _canonical, _hint_responses_api, prepare
from dspy.dsp.utils.settings import main_thread_config, thread_local_overrides
from dspy.dsp.utils.utils import dotdict
from dspy.predict import react as _react
from dspy.primitives.prediction import Completions
from dspy.utils.exceptions import format_error_for_lm

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CUSTOM_TYPE_MARK",
    "FIELD_HEADER",
    "METHODS",
    "PRIVILEGED",
    "Calling",
    "abilities",
    "asked",
    "astock_observation",
    "canonical_request",
    "custom_types",
    "default_kind",
    "engines",
    "fields_of",
    "find_enum_member",
    "format_error_for_lm",
    "format_field_value",
    "is_quiet",
    "is_stock_finish",
    "json_fallback",
    "json_settings",
    "parse_value",
    "prediction_of",
    "raised_by_stock",
    "settings_in_effect",
    "state_of",
    "stock_arguments",
    "stock_observation",
    "stock_output",
    "takes_decisions",
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
_ADAPTER_OPTIONS = 5
_NATIVE_CALLS = {dspy.ChatAdapter: False, dspy.JSONAdapter: True}
"""The default of ``use_native_function_calling``."""
_set_text, _set_part_continuation, _set_part_type = (
    getattr(lm15.TextPart, name).__set__ for name in ("text", "continuation", "type")
)
_set_role, _set_parts, _set_message_continuation = (
    getattr(lm15.Message, name).__set__ for name in ("role", "parts", "continuation")
)
_set_model, _set_messages, _set_system, _set_tools, _set_config = (
    getattr(lm15.Request, name).__set__ for name in ("model", "messages", "system", "tools", "config")
)


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


def state_of(module: object) -> dict[str, Any]:
    """A module's attributes, past its ``__getattribute__``, which is slow."""
    return object.__getattribute__(module, "__dict__")  # type: ignore[no-any-return] # it is a dict


def is_quiet(settings: Mapping[str, Any]) -> bool:
    """Whether nobody listens, records or counts."""
    return (
        not settings["callbacks"]
        and settings["send_stream"] is None
        and not settings["track_usage"]
        and not settings["usage_tracker"]
        and settings["disable_history"] is True
        and not settings["warn_on_type_mismatch"]
        and default_kind(settings["adapter"]) is not None
    )


def default_kind(adapter: Any) -> type[dspy.ChatAdapter] | None:
    """The class of an adapter that is as DSPy makes it; None for any other."""
    if adapter is None:
        return dspy.ChatAdapter  # type: ignore[no-any-return] # untyped
    kind = type(adapter)
    if kind not in _NATIVE_CALLS:
        return None
    options = vars(adapter)
    is_default = (
        len(options) == _ADAPTER_OPTIONS
        and not options["callbacks"]
        and options["use_native_function_calling"] is _NATIVE_CALLS[kind]
        and options["parallel_tool_calls"] is None
        and options["native_response_types"] is _DEFAULT_NATIVE_RESPONSE_TYPES
        and options["use_json_adapter_fallback"] is True
    )
    return kind if is_default else None


def json_settings(
    adapter: dspy.JSONAdapter, lm: dspy.LM, config: dict[str, Any], signature: Any
) -> dict[str, Any]:
    """The settings of a call with the format that is asked of the LM.

    Raises:
        Exception: when DSPy would fail to make a schema, and say so at each call.
    """
    if lm.supports_response_schema and not _has_open_ended_mapping(signature):
        _get_structured_outputs_response_format(signature)
    adapter._prepare_response_format(lm, config, signature)
    return config


def abilities(lm: dspy.LM) -> tuple[Any, ...]:
    """What an LM's engine says it can do, as adapters ask for it."""
    engine = lm._engine_spec
    return engine.supports_function_calling, engine.supports_response_schema, engine.supported_params


def custom_types(annotation: Any) -> list[Any]:
    """DSPy's own types within a type: images, tools, code and the like."""
    return list(Type.extract_custom_type_from_annotation(annotation))


def takes_decisions(signature: Any, adapter: dspy.Adapter) -> bool:
    """Whether DSPy would put its adapter for decisions before ``adapter``."""
    return resolve_adapter(None, adapter, signature, {}, signature) is not adapter


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a dict, an example or a prediction."""
    return record if type(record) is dict else record._store


def engines(lm: dspy.LM) -> tuple[Any, Any]:
    """An LM's sync and async engine."""
    return lm._engine_spec, lm._async_engine_spec


def canonical_request(
    lm: dspy.LM, messages: list[dict[str, Any]], config: dict[str, Any]
) -> lm15.Request | None:
    """What DSPy sends for ``messages``; None for a call that it does not make once and through an engine."""
    if any((given.get("num_generations") or 1) > 1 for given in (config, lm.kwargs)):
        return None
    call = prepare(lm, None, messages, dict(config), asynchronous=True)
    single = call.managed and not call.cache and call.n == 1 and not call.legacy.get("logprobs")
    return _canonical(call) if single else None


def asked(request: lm15.Request, text: str) -> lm15.Request:
    """The request with ``text`` as its last message; without lm15's checks, which it has passed before."""
    part = object.__new__(lm15.TextPart)
    _set_text(part, text)
    _set_part_continuation(part, ())
    _set_part_type(part, "text")
    message = object.__new__(lm15.Message)
    _set_role(message, "user")
    _set_parts(message, (part,))
    _set_message_continuation(message, ())
    copied = object.__new__(lm15.Request)
    _set_model(copied, request.model)
    _set_messages(copied, (*request.messages[:-1], message))
    _set_system(copied, request.system)
    _set_tools(copied, request.tools)
    _set_config(copied, request.config)
    return copied


def raised_by_stock(error: Exception, lm: dspy.LM) -> Exception:
    """What DSPy raises when an engine raised ``error``; that itself if it is to pass."""
    wrapped = wrap_error(error, model=lm.model)
    _hint_responses_api(lm, wrapped)
    return wrapped  # type: ignore[no-any-return] # untyped


def stock_output(response: lm15.Response) -> Any:
    """What DSPy's adapters see of a response: its text, or a dict when there is more."""
    output = legacy_output(response)
    return output if len(output) > 1 else output["text"]


def prediction_of(fields: dict[str, Any], signature: Any) -> dspy.Prediction:
    """``dspy.Prediction.from_completions([fields], signature)``, of fields that are known to be right."""
    completions = object.__new__(Completions)
    vars(completions).update(
        signature=signature, _completions={name: [value] for name, value in fields.items()}
    )
    prediction = object.__new__(dspy.Prediction)
    vars(prediction).update(_store=fields, _completions=completions, _lm_usage=None)
    return prediction


def json_fallback() -> dspy.JSONAdapter:
    """The adapter that a default ``ChatAdapter`` asks again with when it cannot read an answer."""
    return dspy.ChatAdapter()._make_json_adapter_fallback()


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
