"""The spans of one query, from the events of its run."""

from __future__ import annotations

import contextvars
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from dspy import lm15
from opentelemetry.trace import SpanKind, StatusCode

from agent_service.core.messages import ConversationId, Query, Usage
from agent_service.core.observer import (
    FallbackTaken,
    LMCallFinished,
    LMCallStarted,
    LoopBlocked,
    QueryFinished,
    ToolFinished,
    ToolStarted,
)
from agent_service.core.trace import TRACE
from agent_service.telemetry.tracing.run_spans import RunSpans
from agent_service.testing import ScriptedProgram
from tests.telemetry.tracing.conftest import Traced, id_of, parent_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MODEL = "openai/gpt-4o"
AGENT = "invoke_agent scripted"
SECRET = "what the doctor said"
REQUEST = lm15.Request(model=MODEL, system=SECRET, messages=(lm15.Message.user(SECRET),))
RESPONSE = lm15.Response(
    id="r-1",
    model="gpt-4o-2026",
    message=lm15.Message.assistant(SECRET),
    finish_reason="stop",
    usage=lm15.Usage(input_tokens=10, output_tokens=5),
)


def begun(traced: Traced) -> RunSpans:
    """The listener of a query that begins here."""
    query = Query("r1", ConversationId("ada", "s1"), SECRET)
    return RunSpans(traced.spans, query, ScriptedProgram().spec)


def finished(code: str | None = None) -> QueryFinished:
    """The end of the query."""
    return QueryFinished(
        request_id="r1",
        user_id="ada",
        session_id="s1",
        program="scripted",
        model=MODEL,
        code=code,
        reasoning_steps=1,
        tools_used=("clock",),
        usage=Usage(10, 5, 1),
        latency_seconds=0.5,
        stored=True,
    )


def call(run: RunSpans, outcome: str = "success", *, attempt: int = 1) -> None:
    """One attempt to call the model, with all that its events carry."""
    run.observe(LMCallStarted("r1", MODEL, attempt, REQUEST))
    response = (lambda: RESPONSE) if outcome == "success" else None
    usage = Usage(10, 5, 1) if outcome == "success" else Usage(lm_calls=1)
    run.observe(LMCallFinished("r1", MODEL, attempt, outcome, 0.2, usage, response))


def use_tool(run: RunSpans, outcome: str = "success", arguments: dict[str, Any] | None = None) -> None:
    """One tool call."""
    run.observe(ToolStarted("r1", "clock", 1, arguments))
    run.observe(ToolFinished("r1", "clock", 1, outcome, 0.1))


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """What it says."""
    return dict(span.attributes or {})


def test_a_query_is_an_agent_with_its_calls_below(traced: Traced) -> None:
    """Names, kinds and attributes are those of the conventions; afterwards nothing is current."""
    run = begun(traced)
    call(run)
    use_tool(run)
    run.observe(finished())
    assert TRACE.get() is None
    chat, tool, agent = traced.ended
    assert [span.name for span in traced.ended] == ["chat gpt-4o", "execute_tool clock", AGENT]
    assert [span.kind for span in traced.ended] == [SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.INTERNAL]
    assert parent_of(chat) == parent_of(tool) == id_of(agent)
    assert attributes(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2026",
        "gen_ai.response.id": "r-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    }
    assert attributes(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "clock",
        "gen_ai.tool.type": "function",
    }
    assert attributes(agent).pop("gen_ai.conversation.id") != "s1"
    assert (
        attributes(agent).items()
        >= {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "scripted",
            "gen_ai.provider.name": "scripted-model",
            "gen_ai.response.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 10,
            "agent_service.reasoning_steps": 1,
            "agent_service.stored": True,
        }.items()
    )
    assert all(span.status.status_code is StatusCode.UNSET for span in traced.ended)


def test_each_attempt_is_a_span_and_says_which(traced: Traced) -> None:
    """A retry is seen where it happened, the failure before it too."""
    run = begun(traced)
    call(run, "rate_limited")
    call(run, attempt=2)
    run.observe(finished())
    first, second = traced.ended[:2]
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(first)["error.type"] == "rate_limited"
    assert "gen_ai.usage.input_tokens" not in attributes(first)
    assert "http.request.resend_count" not in attributes(first)
    assert second.status.status_code is StatusCode.UNSET
    assert attributes(second)["http.request.resend_count"] == 1


def test_a_call_that_the_breaker_refused_is_a_span_that_failed_at_once(traced: Traced) -> None:
    """It was never begun; what is open, a tool here, stays open."""
    run = begun(traced)
    run.observe(ToolStarted("r1", "clock", 1))
    run.observe(LMCallFinished("r1", MODEL, 1, "refused", 0.0, Usage()))
    run.observe(ToolFinished("r1", "clock", 1, "success", 0.1))
    run.observe(finished())
    assert attributes(traced.named("chat gpt-4o"))["error.type"] == "refused"
    assert parent_of(traced.named("chat gpt-4o")) == id_of(traced.named("execute_tool clock"))


def test_a_fallback_is_an_event_of_the_agent(traced: Traced) -> None:
    """With the model that is asked instead."""
    run = begun(traced)
    run.observe(FallbackTaken("r1", MODEL, "openai/other"))
    run.observe(finished())
    (event,) = traced.named(AGENT).events
    assert (event.name, dict(event.attributes or {})) == (
        "agent_service.fallback",
        {"gen_ai.request.model": "other"},
    )


@pytest.mark.parametrize("code", ["upstream_error", "cancelled"])
def test_a_failure_is_its_code_and_no_text(traced: Traced, code: str) -> None:
    """The codes that callers read; a message could hold a prompt."""
    run = begun(traced)
    use_tool(run, "timeout")
    run.observe(finished(code))
    agent = traced.named(AGENT)
    assert agent.status.status_code is StatusCode.ERROR
    assert agent.status.description is None
    assert attributes(agent)["error.type"] == code
    assert attributes(traced.named("execute_tool clock"))["error.type"] == "timeout"


def test_threads_that_inherit_nothing_are_below_the_agent_all_the_same(traced: Traced) -> None:
    """As those of ``dspy.Parallel``; and calls at the same time do not take each other for their own."""
    run = begun(traced)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: contextvars.Context().run(call, run), range(8)))
    run.observe(finished())
    agent = id_of(traced.named(AGENT))
    calls = [span for span in traced.ended if span.name == "chat gpt-4o"]
    assert [parent_of(span) for span in calls] == [agent] * 8


def test_a_call_within_a_tool_is_below_the_tool(traced: Traced) -> None:
    """An agent that is another one's tool."""
    run = begun(traced)
    run.observe(ToolStarted("r1", "clock", 1))
    call(run)
    run.observe(ToolFinished("r1", "clock", 1, "success", 0.1))
    run.observe(finished())
    assert parent_of(traced.named("chat gpt-4o")) == id_of(traced.named("execute_tool clock"))


def test_ends_without_a_begin_and_other_events_make_no_span(traced: Traced) -> None:
    """The agent is not taken for what ended."""
    run = begun(traced)
    run.observe(LMCallFinished("r1", MODEL, 1, "success", 0.2, Usage()))
    run.observe(ToolFinished("r1", "clock", 1, "success", 0.1))
    run.observe(LoopBlocked("", 1.0))
    begun_only = [span.name for span in traced.ended]
    run.observe(finished())
    assert begun_only == []
    assert [span.name for span in traced.ended] == [AGENT]


def test_no_word_of_what_is_said_is_in_any_span(traced: Traced) -> None:
    """Neither question, prompt, answer nor a tool's arguments, unless it is asked for."""
    run = begun(traced)
    call(run)
    use_tool(run, arguments={"text": SECRET})
    run.observe(finished())
    assert len(traced.ended) == 3
    assert not [span.name for span in traced.ended if SECRET in span.to_json()]


def test_what_is_said_is_there_when_it_is_asked_for() -> None:
    """Prompt and answer with the call, arguments with the tool."""
    traced = Traced(captures_content=True)
    run = begun(traced)
    call(run)
    use_tool(run, arguments={"text": SECRET})
    run.observe(finished())
    chat = traced.facts("chat gpt-4o")
    for name in ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"):
        assert SECRET in chat[name]
    arguments = traced.facts("execute_tool clock")["gen_ai.tool.call.arguments"]
    assert json.loads(arguments) == {"text": SECRET}
