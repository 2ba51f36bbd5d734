"""Calls a language model at the seam with the very request that DSPy would make, and nothing in between."""

from __future__ import annotations

import logging
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import dspy
from dspy import lm15

from agent_service.programs.fast.lm_internals import (
    CUSTOM_TYPE_MARK,
    abilities,
    asked,
    canonical_request,
    engines,
    raised_by_stock,
    stock_output,
)
from agent_service.programs.fast.plans.snapshot import NoPlanError
from agent_service.programs.fast.plans.values import IMMUTABLE
from agent_service.programs.lm.engines import AsyncSeamEngine, SyncSeamEngine
from agent_service.programs.lm.lean_chat import PlainReply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_service.programs.fast.plans.plan import Draft, Plan
    from agent_service.programs.fast.plans.tool_plan import ToolPlan

_CONSTANT = IMMUTABLE | {lm15.CacheConfig}
_NATIVE_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
"""Settings that adapters change or leave out."""
_log = logging.getLogger("dspy.clients.lm")


def is_lean(lm: Any) -> bool:
    """Whether every call of ``lm`` goes to the seam once, and nobody listens on the way."""
    if type(lm) is not dspy.LM:
        return False
    settings = vars(lm)
    sync, asynchronous = engines(lm)
    return (
        type(sync) is SyncSeamEngine
        and type(asynchronous) is AsyncSeamEngine
        and not settings["callbacks"]
        and not settings["cache"]
        and settings["num_retries"] == 0
        and settings["model_type"] == "chat"
        and "forward" not in settings
        and "aforward" not in settings
    )


@dataclass(frozen=True)
class LeanLM:
    """One plan's calls of one LM: the parts of the request that never change.

    Attributes:
        settings: of the LM.
        config: of the predictor.
        able: what the LM could do.
        offered: the tools that it was told of by other means than text.
        draft: what it is shown of a call.
        sample: a request that DSPy made; others have another last message, and messages before it.
    """

    lm: dspy.LM
    settings: _Constants
    config: _Constants
    able: tuple[Any, ...]
    offered: str | None
    draft: Draft
    sample: lm15.Request

    @classmethod
    def of(
        cls, lm: dspy.LM, config: Mapping[str, Any], plan: Plan | ToolPlan, values: Mapping[str, Any]
    ) -> LeanLM:
        """Learn them from what DSPy makes of a question.

        Raises:
            NoPlanError: when a request of this kind has parts that may change from call to call.
        """
        if _NATIVE_TOOLS & config.keys():
            raise NoPlanError("the predictor's settings name tools")
        settings, own, able = _Constants.of(lm.kwargs), _Constants.of(config), abilities(lm)
        offered = plan.offered(values)
        draft = plan.draft(lm, config, values)
        messages = [*draft.plan.head, {"role": "user", "content": draft.plan.requirements}]
        try:
            request = canonical_request(lm, messages, draft.settings)
        except Exception as error:
            raise NoPlanError(f"DSPy refuses the LM's settings: {error}") from error
        if request is None or (request.tools and not offered):
            raise NoPlanError("the LM's settings ask for more than one plain answer")
        if asked(request, draft.plan.requirements) != request:
            raise NoPlanError("DSPy makes another request of the same messages")
        return cls(lm, settings, own, able, offered, draft, request)

    def holds(self, lm: dspy.LM, config: Mapping[str, Any], offered: str | None) -> bool:
        """Whether it still says what ``lm`` is asked with."""
        return (
            lm is self.lm
            and self.settings.are(lm.kwargs)
            and self.config.are(config)
            and self.able == abilities(lm)
            and self.offered == offered
        )

    def request(self, values: Mapping[str, Any]) -> lm15.Request | None:
        """The request; None when the inputs are not to be sent as plain text."""
        question = self.draft.plan.question(values)
        told = self.draft.told(values, self.lm.model)
        if told is None or not _is_plain(question):
            return None
        return asked(self.sample, question, told)

    async def acomplete(self, request: lm15.Request) -> Any:
        """The LM's answer as adapters see it, mostly a text.

        Raises:
            Exception: what DSPy raises for it.
        """
        try:
            response = await engines(self.lm)[1].begin(request)
        except Exception as error:  # noqa: BLE001 - it is raised, in DSPy's words
            _raise_as_stock(error, self.lm)
        return _output(response)

    def complete(self, request: lm15.Request) -> Any:
        """The same, blocking."""
        try:
            response = engines(self.lm)[0].complete(request)
        except Exception as error:  # noqa: BLE001 - it is raised, in DSPy's words
            _raise_as_stock(error, self.lm)
        return _output(response)


@dataclass(frozen=True)
class _Constants:
    """Settings whose values cannot be changed in place."""

    names: Sequence[str]
    values: Sequence[Any]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> _Constants:
        for name, value in settings.items():
            if type(value) not in _CONSTANT:
                raise NoPlanError(f"the LM's setting {name} is a {type(value).__name__}")
        return cls(list(settings), list(settings.values()))

    def are(self, settings: Mapping[str, Any]) -> bool:
        return list(settings) == self.names and all(map(operator.is_, settings.values(), self.values))


def _is_plain(text: str) -> bool:
    """Whether DSPy sends it as it is: encodable, and without values of its own types."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return CUSTOM_TYPE_MARK not in text


def _raise_as_stock(error: Exception, lm: dspy.LM) -> NoReturn:
    raised = raised_by_stock(error, lm)
    try:
        if raised is error:
            raise raised
        raise raised from error
    finally:
        del raised, error  # or they and this frame would keep each other alive


def _output(response: lm15.Response | PlainReply) -> Any:
    if response.finish_reason == "length":
        _log.warning("LM response was truncated; increase max_tokens or inspect history.")
    if isinstance(response, PlainReply):
        return response.text
    parts = response.message.parts
    if len(parts) == 1 and type(parts[0]) is lm15.TextPart:
        return parts[0].text
    return stock_output(response)
