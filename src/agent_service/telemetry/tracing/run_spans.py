"""The spans of one query: the agent that answers it, each attempt to call a model, each tool call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context

from agent_service.core.observer import (
    Event,
    FallbackTaken,
    LMCallFinished,
    LMCallStarted,
    QueryFinished,
    ToolFinished,
    ToolStarted,
)
from agent_service.core.trace import TRACE
from agent_service.telemetry.tracing import content, genai
from agent_service.telemetry.tracing.spans import OpenSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from agent_service.core.messages import Query
    from agent_service.programs.base import ProgramSpec
    from agent_service.telemetry.tracing.spans import Spans

_AGENT, _CHAT, _TOOL = "invoke_agent", "chat", "execute_tool"


class RunSpans:
    """Listens to one run. Made where the query begins, in whose context its ``QueryFinished`` comes too.

    A model or a tool is below what is current where it is called, be it the span of a tool or one of the
    program's own; in threads that inherit no context, as those of ``dspy.Parallel``, below the agent.
    """

    def __init__(self, spans: Spans, query: Query, program: ProgramSpec) -> None:
        self._spans = spans
        self._agent = spans.open(
            f"{_AGENT} {program.name}",
            operation=_AGENT,
            attributes={
                **genai.of_model(program.model, _AGENT),
                "gen_ai.agent.name": program.name,
                "gen_ai.conversation.id": genai.of_conversation(query.conversation),
            },
        )
        self._by_kind: dict[type[Event], Callable[[Any], None]] = {
            LMCallStarted: self._call_started,
            LMCallFinished: self._call_finished,
            FallbackTaken: self._fallback_taken,
            ToolStarted: self._tool_started,
            ToolFinished: self._tool_finished,
            QueryFinished: self._query_finished,
        }

    def __repr__(self) -> str:
        return f"<RunSpans {self._agent!r}>"

    def observe(self, event: Event) -> None:
        """Begin or end a span; other kinds of events are passed over."""
        take = self._by_kind.get(type(event))
        if take is not None:
            take(event)

    def _call_started(self, event: LMCallStarted) -> None:
        call = self._open(f"{_CHAT} {genai.model_of(event.model)[1]}", _CHAT, _of_attempt(event))
        if event.request is not None and call.span.is_recording():
            call.span.set_attributes(genai.of_request(event.request))
            if call.wants_content:
                call.span.set_attributes(content.of_request(event.request))

    def _call_finished(self, event: LMCallFinished) -> None:
        if event.outcome == "refused":
            self._call_started(LMCallStarted(event.request_id, event.model, event.attempt))
        call = _open_here(_CHAT)
        if call is None:
            return
        if event.usage.total_tokens:
            call.span.set_attributes(genai.of_usage(event.usage))
        if event.read_response is not None and call.span.is_recording():
            response = event.read_response()
            call.span.set_attributes(genai.of_response(response))
            if call.wants_content:
                call.span.set_attributes(content.of_response(response))
        _end(call, event.outcome)

    def _fallback_taken(self, event: FallbackTaken) -> None:
        facts = {"gen_ai.request.model": genai.model_of(event.to)[1]}
        get_current_span().add_event("agent_service.fallback", facts)

    def _tool_started(self, event: ToolStarted) -> None:
        attributes: genai.Attributes = {
            "gen_ai.operation.name": _TOOL,
            "gen_ai.tool.name": event.tool,
            "gen_ai.tool.type": "function",
        }
        tool = self._open(f"{_TOOL} {event.tool}", _TOOL, attributes, kind=SpanKind.INTERNAL)
        if event.arguments is not None and tool.wants_content:
            tool.span.set_attributes(content.of_tool(event.arguments))

    def _tool_finished(self, event: ToolFinished) -> None:
        tool = _open_here(_TOOL)
        if tool is not None:
            _end(tool, event.outcome)

    def _query_finished(self, event: QueryFinished) -> None:
        self._agent.span.set_attributes(
            {
                **genai.of_usage(event.usage),
                "gen_ai.response.model": genai.model_of(event.model)[1],
                "agent_service.reasoning_steps": event.reasoning_steps,
                "agent_service.stored": event.stored,
            }
        )
        if event.code is not None:
            self._agent.fail(event.code)
        self._agent.end()

    def _open(
        self, name: str, operation: str, attributes: genai.Attributes, *, kind: SpanKind = SpanKind.CLIENT
    ) -> OpenSpan:
        is_inherited = get_current_span().get_span_context().is_valid
        parent: Context | None = None if is_inherited else set_span_in_context(self._agent.span)
        return self._spans.open(name, operation=operation, attributes=attributes, kind=kind, parent=parent)


def _of_attempt(event: LMCallStarted) -> genai.Attributes:
    attributes = genai.of_model(event.model, _CHAT)
    if event.attempt > 1:
        attributes["http.request.resend_count"] = event.attempt - 1
    return attributes


def _open_here(operation: str) -> OpenSpan | None:
    """The span of that operation that this context has open."""
    trace = TRACE.get()
    return trace if isinstance(trace, OpenSpan) and trace.operation == operation else None


def _end(span: OpenSpan, outcome: str) -> None:
    if outcome != "success":
        span.fail(outcome)
    span.end()
