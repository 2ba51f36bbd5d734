"""Traces of real processes, as a receiver gets them over the wire."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.processes import Service, Simulator, wait_until
from tests.trace_receiver import TraceReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.trace_receiver import ReceivedSpan

QUESTION = "What is 2+2? Nobody may know that the doctor asked."
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
FAULT = {"kind": "503"}
SERVED = "POST /api/v1/query"
AGENT = "invoke_agent default"
CHAT = "chat gpt-4o-mini"


class Stage:
    """A service with two workers in front of a simulated provider, and who receives its traces."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.receiver = stack.enter_context(TraceReceiver())
        self.simulator = Simulator(folder)
        stack.callback(self.simulator.close)
        self.service = Service(
            folder,
            **self.simulator.settings(),
            **SOON,
            OTEL_EXPORTER_OTLP_ENDPOINT=self.receiver.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-team=a",
            OTEL_SERVICE_NAME="support",
            SERVER_WORKERS="2",
        )
        stack.callback(self.service.close)
        wait_until("both serve", lambda: self.service.metric("agent_workers") == 2)

    def trace_of(self, response: httpx.Response) -> list[ReceivedSpan]:
        """The spans of the trace that the answered query's log line names."""
        return self.receiver.trace(self.line_of(response)["trace_id"])

    def line_of(self, response: httpx.Response) -> dict[str, Any]:
        """The query's line in the log."""
        request_id = response.headers["x-request-id"]
        found: list[dict[str, Any]] = []

        def is_logged() -> bool:
            lines = self.service.log("query")
            found[:] = [line for line in lines if line["request_id"] == request_id]
            return bool(found)

        wait_until("the query is logged", is_logged)
        return found[0]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all tests of the module."""
    with ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("traced"), stack)


@pytest.fixture(autouse=True)
def well(stage: Stage) -> None:
    """The provider has no fault at the begin of a test."""
    stage.simulator.heal()
    stage.simulator.script()


def one(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    """The only span of that name."""
    (found,) = (span for span in spans if span.name == name)
    return found


def test_a_query_is_one_trace_with_every_call_in_its_place(stage: Stage) -> None:
    """From the request to the agent to its models, tools and memory; the log names the same trace."""
    response = stage.service.ask(QUESTION, user_id="zoe")
    spans = stage.trace_of(response)
    served, agent = one(spans, SERVED), one(spans, AGENT)
    below = [span for span in spans if span.parent_id == agent.span_id]
    assert served.parent_id == ""
    assert agent.parent_id == served.span_id
    assert len(below) == len(spans) - 2
    expected = {CHAT: 3, "execute_tool calculator": 1, "memory take_turn": 1, "memory commit": 1}
    assert Counter(span.name for span in below) == expected
    assert not any(span.has_failed for span in spans)
    assert served.attributes["http.response.status_code"] == 200
    assert served.attributes["agent_service.request_id"] == response.json()["request_id"]
    assert agent.attributes["gen_ai.usage.input_tokens"] == response.json()["usage"]["prompt_tokens"]
    chat = next(span for span in below if span.name == CHAT).attributes
    assert chat["gen_ai.provider.name"] == "openai"
    assert chat["gen_ai.response.model"] == "gpt-4o-mini"
    assert f"http://{chat['server.address']}:{chat['server.port']}/v1" == stage.simulator.base_url
    assert stage.line_of(response)["span_id"] == agent.span_id
    assert served.resource["service.name"] == "support"
    assert stage.receiver.headers[-1]["path"] == "/v1/traces"
    assert stage.receiver.headers[-1]["x-team"] == "a"


def test_a_streamed_query_is_one_trace_too(stage: Stage) -> None:
    """Its run is a task of the service's own, and its model is asked for a stream."""
    body = {"user_id": "zoe", "question": QUESTION}
    response = stage.service.client.post("/api/v1/query/stream", json=body)
    spans = stage.trace_of(response)
    served, agent = one(spans, f"{SERVED}/stream"), one(spans, AGENT)
    assert agent.parent_id == served.span_id
    assert Counter(span.name for span in spans if span.parent_id == agent.span_id)[CHAT] == 3


def test_a_retry_is_seen_and_so_is_what_was_answered_at_last(stage: Stage) -> None:
    """Each attempt failed; the agent and the request have the code that the caller reads."""
    stage.simulator.behave(faults=[FAULT])
    response = stage.service.ask(QUESTION, user_id="zoe-bob")
    spans = stage.trace_of(response)
    attempts = [span for span in spans if span.name == CHAT]
    assert response.status_code == 502
    assert len(attempts) > 1
    assert all(span.has_failed and span.attributes["error.type"] == "error" for span in attempts)
    resent = sorted(span.attributes.get("http.request.resend_count", 0) for span in attempts)
    assert resent == list(range(len(attempts)))
    for name in (SERVED, AGENT):
        assert one(spans, name).has_failed
        assert one(spans, name).attributes["error.type"] == "upstream_error"


def test_a_caller_s_trace_goes_on_to_the_model(stage: Stage) -> None:
    """Its span is the parent; the provider is told which of ours calls it."""
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    stage.service.ask(
        QUESTION, user_id="zoe-eve", traceparent=f"00-{trace_id}-{span_id}-01", tracestate="a=1"
    )
    spans = stage.receiver.trace(trace_id)
    assert one(spans, SERVED).parent_id == span_id
    assert len(spans) == 8


def test_an_exemplar_leads_from_the_latency_to_a_trace(stage: Stage) -> None:
    """In OpenMetrics, whichever worker is asked; the plain format has no place for it."""
    response = stage.service.ask(QUESTION, user_id="zoe-kim")
    trace_id = stage.line_of(response)["trace_id"]

    def is_told() -> bool:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        exposed = stage.service.client.get("/api/v1/metrics", headers=accept)
        assert exposed.headers["content-type"].startswith("application/openmetrics-text")
        assert exposed.text.endswith("# EOF\n")
        pattern = rf'^agent_latency_seconds_bucket\{{.*# \{{trace_id="{trace_id}"\}}'
        return re.search(pattern, exposed.text, re.MULTILINE) is not None

    wait_until("the exemplar is told", is_told)
    assert "trace_id" not in stage.service.client.get("/api/v1/metrics").text


def test_nothing_that_was_said_has_left_and_both_workers_have_sent(stage: Stage) -> None:
    """Neither question, prompt, answer nor a tool's arguments, nor who asked, in any byte of any export."""
    bodies = b"".join(stage.receiver.bodies)
    assert b"invoke_agent" in bodies
    for said in (b"doctor", b"2+2", b"conversation", b"calculator(", b"zoe", b"sk-any"):
        assert said not in bodies.replace(b"gen_ai.conversation.id", b"")

    def both_have_sent() -> bool:
        httpx.get(f"{stage.service.url()}/api/v1/info", timeout=10)
        return len({span.resource["service.instance.id"] for span in stage.receiver.spans()}) == 2

    wait_until("both have sent", both_have_sent)


def test_with_content_asked_for_it_is_there_and_a_stop_sends_the_last_spans(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """Threads of ``dspy.Parallel`` are in the trace; spans that wait are sent before the process ends."""
    with TraceReceiver() as receiver:
        service = serve(
            AGENT_PROGRAM="parallel_program:Twice",
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.url}/v1/traces",
            OTEL_BSP_SCHEDULE_DELAY="60000",
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true",
        )
        service.ask(QUESTION)
        assert receiver.bodies == []
        service.signal(signal.SIGTERM)
        assert service.status() == 0
        spans = receiver.spans()
    agent = one(spans, "invoke_agent Twice")
    calls = [span for span in spans if span.name == "chat offline"]
    assert len(calls) >= 2
    assert {span.parent_id for span in calls} == {agent.span_id}
    messages = json.loads(calls[0].attributes["gen_ai.input.messages"])
    assert "the doctor asked" in json.dumps(messages)
    assert "gen_ai.output.messages" in calls[0].attributes


def test_a_receiver_that_is_gone_harms_no_query(serve: Callable[..., Service]) -> None:
    """The log says so once, the metric counts what is lost, and the stop waits for nobody."""
    with TraceReceiver() as receiver:
        gone = receiver.url
    service = serve(
        OTEL_EXPORTER_OTLP_ENDPOINT=gone,
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_BSP_MAX_QUEUE_SIZE="8",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8",
        **SOON,
    )
    assert [service.ask(QUESTION).status_code for _ in range(10)] == [200] * 10
    wait_until("spans are lost", lambda: service.metric("agent_trace_spans_lost_total") > 8)
    service.signal(signal.SIGTERM)
    assert service.status(seconds=15) == 0
    told = [line for line in service.lines if "traces cannot be exported" in line]
    assert len(told) == 1
    assert not [line for line in service.lines if '"logger":"opentelemetry.exporter' in line]


def test_a_protocol_that_is_not_spoken_is_told_at_the_start(serve: Callable[..., Service]) -> None:
    """Instead of traces that never arrive."""
    service = serve(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4317", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert service.status() == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL='grpc': must be http/protobuf" in service.output
