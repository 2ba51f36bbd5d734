"""The names of DSPy's adapters and LM clients which are not public. To be read at each upgrade of DSPy.

They are gathered here on purpose, so the rule against them is off for the file.
"""
# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import dspy
from dspy import lm15
from dspy.adapters.base import _DEFAULT_NATIVE_RESPONSE_TYPES
from dspy.adapters.chat_adapter import field_header_pattern as FIELD_HEADER  # noqa: N812 - a constant by nature
from dspy.adapters.decision import resolve_adapter
from dspy.adapters.json_adapter import _get_structured_outputs_response_format, _has_open_ended_mapping
from dspy.adapters.types.base_type import CUSTOM_TYPE_START_IDENTIFIER as CUSTOM_TYPE_MARK
from dspy.adapters.types.base_type import Type
from dspy.adapters.utils import annotation_allows_none, find_enum_member, format_field_value, parse_value
from dspy.clients.call_result import legacy_output
from dspy.clients.errors import wrap_error
from dspy.clients.execution import _canonical, _check_encodable, _hint_responses_api, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CUSTOM_TYPE_MARK",
    "FIELD_HEADER",
    "AdapterKind",
    "abilities",
    "allows_none",
    "asked",
    "canonical_messages",
    "canonical_request",
    "custom_types",
    "engines",
    "find_enum_member",
    "format_field_value",
    "is_own_type",
    "json_fallback",
    "json_settings",
    "kind_of",
    "parse_value",
    "raised_by_stock",
    "read_by_stock",
    "rewritten_for",
    "stock_output",
    "takes_decisions",
]

allows_none = annotation_allows_none
_ADAPTER_OPTIONS = 5
_ADAPTERS = frozenset({dspy.ChatAdapter, dspy.JSONAdapter})
_set_text, _set_part_continuation, _set_part_type = (
    getattr(lm15.TextPart, name).__set__ for name in ("text", "continuation", "type")
)
_set_role, _set_parts, _set_message_continuation = (
    getattr(lm15.Message, name).__set__ for name in ("role", "parts", "continuation")
)
_set_model, _set_messages, _set_system, _set_tools, _set_config = (
    getattr(lm15.Request, name).__set__ for name in ("model", "messages", "system", "tools", "config")
)


class AdapterKind(NamedTuple):
    """An adapter that is as DSPy makes it, but for its way of calling tools.

    Attributes:
        adapter_class: ``dspy.ChatAdapter`` or ``dspy.JSONAdapter``.
        calls_natively: whether tools are called by the provider's means instead of by text.
    """

    adapter_class: type[dspy.ChatAdapter] = dspy.ChatAdapter
    calls_natively: bool = False

    def make(self) -> dspy.ChatAdapter:
        """One of this kind."""
        return self.adapter_class(use_native_function_calling=self.calls_natively)


_DEFAULT = AdapterKind()


def kind_of(adapter: Any) -> AdapterKind | None:
    """The kind of an adapter, or None for one that is subclassed or has options."""
    if adapter is None:
        return _DEFAULT
    if type(adapter) not in _ADAPTERS:
        return None
    options = vars(adapter)
    is_plain = (
        len(options) == _ADAPTER_OPTIONS
        and not options["callbacks"]
        and type(options["use_native_function_calling"]) is bool
        and options["parallel_tool_calls"] is None
        and options["native_response_types"] is _DEFAULT_NATIVE_RESPONSE_TYPES
        and options["use_json_adapter_fallback"] is True
    )
    return AdapterKind(type(adapter), options["use_native_function_calling"]) if is_plain else None


def json_settings(
    adapter: dspy.JSONAdapter, lm: dspy.LM, config: dict[str, Any], signature: Any
) -> dict[str, Any]:
    """The settings of a call with the format that is asked of the LM.

    Raises:
        Exception: when DSPy would fail to make a schema, and say so at each call.
    """
    if lm.supports_response_schema and not _has_open_ended_mapping(signature):
        _get_structured_outputs_response_format(signature, adapter.use_native_function_calling)
    adapter._prepare_response_format(lm, config, signature)
    return config


def abilities(lm: dspy.LM) -> tuple[Any, ...]:
    """What an LM's engine says it can do, as adapters ask for it."""
    engine = lm._engine_spec
    return (
        engine.supports_function_calling,
        engine.supports_reasoning,
        engine.supports_response_schema,
        engine.supported_params,
    )


def custom_types(annotation: Any) -> list[Any]:
    """DSPy's own types within a type: images, tools, code and the like."""
    return list(Type.extract_custom_type_from_annotation(annotation))


def is_own_type(annotation: Any) -> bool:
    """Whether values are of one of DSPy's own types, which read texts themselves."""
    return isinstance(annotation, type) and issubclass(annotation, Type)


def rewritten_for(
    adapter: dspy.Adapter, lm: dspy.LM, settings: dict[str, Any], signature: Any, inputs: Mapping[str, Any]
) -> Any:
    """The signature without what the provider does natively, for which ``settings`` are completed.

    Raises:
        Exception: what DSPy raises.
    """
    return adapter._call_preprocess(lm, settings, signature, dict(inputs))


def read_by_stock(
    adapter: dspy.Adapter, shown: Any, signature: Any, output: Any, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of ``signature`` in an answer to what was ``shown`` of it.

    Raises:
        AdapterParseError: when it has none.
    """
    return adapter._call_postprocess(shown, signature, [output], None, dict(settings))[0]  # type: ignore[no-any-return] # untyped


def takes_decisions(signature: Any, adapter: dspy.Adapter) -> bool:
    """Whether DSPy would put its adapter for decisions before ``adapter``."""
    return resolve_adapter(None, adapter, signature, {}, signature) is not adapter


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


def canonical_messages(rows: list[dict[str, Any]], model: str) -> tuple[lm15.Message, ...]:
    """Messages after the first one as DSPy sends them to ``model``.

    Raises:
        Exception: what DSPy raises for those that cannot be sent.
    """
    _check_encodable(rows, "messages")
    return lm15.request_from_openai_chat({"model": model, "messages": rows}).messages  # type: ignore[no-any-return] # untyped


def asked(request: lm15.Request, text: str, told: Sequence[lm15.Message] = ()) -> lm15.Request:
    """The request with ``told`` and ``text`` for its last message; without lm15's checks."""
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
    _set_messages(copied, (*request.messages[:-1], *told, message))
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


def json_fallback(adapter: dspy.ChatAdapter) -> dspy.JSONAdapter:
    """The adapter that ``adapter`` asks again with when it cannot read an answer."""
    return adapter._make_json_adapter_fallback()
