from __future__ import annotations

import io
import json
import logging
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.caller import CALLER, Caller
from agent_service.core.context import REQUEST_ID
from agent_service.telemetry.logs import LogOptions
from tests.traces import FakeTrace, within

if TYPE_CHECKING:
    from collections.abc import Callable

    LogTo = Callable[..., io.StringIO]

NASTY = "first\nforged line\r\x1b[31mred\x9b\u2028end"


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_the_constant_part_and_what_the_author_gave(log_to: LogTo) -> None:
    """Time in UTC with milliseconds, level, logger, event, then the rest."""
    stream = log_to(format="json")
    logging.getLogger("agent_service.x").warning("moved %s", "it", extra={"count": 3, "ids": ["a"]})
    (line,) = _lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "warning",
        "logger": "agent_service.x",
        "event": "moved it",
        "count": 3,
        "ids": ["a"],
    }


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_no_value_forges_a_line(log_to: LogTo, log_format: str) -> None:
    """Newlines and control characters are escaped in messages, values and exceptions."""
    stream = log_to(format=log_format)
    log = logging.getLogger("agent_service.x")
    log.info("said %s", NASTY, extra={"text": NASTY, "nested": {"text": NASTY}})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()


def test_exceptions_do_not_forge_lines_on_a_terminal(log_to: LogTo) -> None:
    """The lines of an exception are indented, and its message is escaped."""
    stream = log_to(format="pretty")
    logging.getLogger("agent_service.x").error("failed", exc_info=ValueError(NASTY))
    first, *rest = stream.getvalue().splitlines()
    assert "failed" in first
    assert rest
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_exceptions_are_part_of_the_json_line(log_to: LogTo) -> None:
    """One line, structured."""
    stream = log_to(format="json")
    logging.getLogger("agent_service.x").error("failed", exc_info=ValueError("wrong"))
    (line,) = _lines(stream)
    assert line["exception"][0]["type"] == "builtins.ValueError"
    assert line["exception"][0]["message"] == "wrong"


def test_the_key_id_is_on_each_line_of_a_callers_request(log_to: LogTo) -> None:
    """By its public name; without a key the line has none."""
    stream = log_to(format="json")
    log = logging.getLogger("agent_service.x")
    log.info("before")
    token = CALLER.set(Caller("0123456789ab"))
    log.info("during")
    CALLER.reset(token)

    assert [line.get("key_id") for line in _lines(stream)] == [None, "0123456789ab"]


def test_the_trace_is_on_each_line_within_one(log_to: LogTo) -> None:
    """Whoever writes it; a tracing system finds the lines by these names."""
    stream = log_to(format="json")
    with within(FakeTrace()):
        logging.getLogger("httpx").error("within")
    logging.getLogger("httpx").error("after")
    inside, after = _lines(stream)
    assert (inside["trace_id"], inside["span_id"]) == ("a" * 32, "b" * 16)
    assert not {"trace_id", "span_id"} & after.keys()


@pytest.mark.parametrize(("levels", "lines"), [({}, 0), ({"": "info", "opentelemetry.exporter": "error"}, 1)])
def test_failures_to_export_are_shown_when_they_are_asked_for(
    log_to: LogTo, levels: dict[str, str], lines: int
) -> None:
    """They come at each attempt, and are told once in words of ours."""
    stream = log_to(format="json", levels=levels)
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").error("no route")
    assert len(_lines(stream)) == lines


def test_the_request_id_is_on_each_line_of_a_request(log_to: LogTo) -> None:
    """From the context, unless the line names its own; outside of a request there is none."""
    stream = log_to(format="json")
    log = logging.getLogger("agent_service.x")
    token = REQUEST_ID.set("of-the-context")
    log.info("in a request")
    log.info("of an event", extra={"request_id": "of-the-event"})
    log.info("of no query", extra={"request_id": ""})
    REQUEST_ID.reset(token)
    log.info("outside")
    ids = [line.get("request_id") for line in _lines(stream)]
    assert ids == ["of-the-context", "of-the-event", "of-the-context", None]


def test_secrets_are_masked_in_messages_values_and_exceptions(log_to: LogTo) -> None:
    """Whoever logs it."""
    stream = log_to(format="json")
    error = ValueError("sk-secret123456")
    logging.getLogger("other").error("Bearer secret123456", extra={"key": "sk-secret123456"}, exc_info=error)
    logging.getLogger("other").error("named", extra={"api_key": "secret123456"})
    assert "secret123456" not in stream.getvalue()


def test_levels_are_by_logger(log_to: LogTo) -> None:
    """The most exact name wins; the empty name is all others."""
    stream = log_to(levels={"": "warning", "agent_service.programs": "debug"})
    logging.getLogger("agent_service.api").info("not shown")
    logging.getLogger("agent_service.programs.lm").debug("shown")
    logging.getLogger("other").warning("shown too")
    assert [line["event"] for line in _lines(stream)] == ["shown", "shown too"]


@pytest.mark.parametrize(
    "name", ["dspy.predict", "httpx", "httpcore.http11", "openai._base_client", "LiteLLM"]
)
def test_debug_for_all_does_not_open_the_libraries_that_quote_prompts(log_to: LogTo, name: str) -> None:
    """They must be asked for by name."""
    stream = log_to(levels={"": "debug"})
    logging.getLogger(name).info("the prompt")
    assert stream.getvalue() == ""


def test_what_users_said_is_withheld_from_lines_of_dspy(log_to: LogTo) -> None:
    """The message keeps its fixed part; asked for at debug, it is whole."""
    log = logging.getLogger("dspy.predict.react")
    stream = log_to(format="json")
    log.warning("Ending the trajectory: %s", "the question")
    log.warning("Ending the trajectory: the question")
    log.warning("Ending the trajectory", extra={"said": "the question"})
    assert "the question" not in stream.getvalue()
    assert all(line["event"].startswith("Ending the trajectory") for line in _lines(stream))
    stream = log_to(levels={"": "info", "dspy": "debug"})
    log.debug("all of it: %s", "the question")
    assert _lines(stream)[0]["event"] == "all of it: the question"


def test_handlers_that_libraries_gave_themselves_are_taken_over(log_to: LogTo) -> None:
    """DSPy and uvicorn write through us, once, whatever they set up when they were imported."""
    log, own = logging.getLogger("dspy"), io.StringIO()
    log.addHandler(logging.StreamHandler(own))
    log.propagate = False
    stream = log_to(format="json")
    log.warning("Trajectory exceeded the context window")
    assert own.getvalue() == ""
    assert len(_lines(stream)) == 1


def test_configuring_twice_writes_each_line_once(log_to: LogTo) -> None:
    """The second call replaces the first."""
    first = log_to(format="json")
    second = log_to(format="json")
    logging.getLogger("agent_service.x").info("once")
    assert (first.getvalue(), len(_lines(second))) == ("", 1)


def test_copies_of_a_message_are_left_out(log_to: LogTo) -> None:
    """The one that uvicorn sends along, and those that another formatter leaves on the record."""
    stream = log_to(format="json")
    logger, other = logging.getLogger("a.library.that.adds.fields"), logging.StreamHandler(io.StringIO())
    other.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(other)
    logger.info("up", extra={"color_message": "\x1b[1mup"})
    assert not {"color_message", "message", "asctime"} & _lines(stream)[0].keys()


def test_options_refuse_what_does_not_exist() -> None:
    """Formats and levels are closed sets."""
    with pytest.raises(ValueError, match="json, pretty"):
        LogOptions(format="xml")
    with pytest.raises(ValueError, match="debug, info, warning, error, critical"):
        LogOptions(levels={"": "loud"})


def test_a_line_says_its_process_where_there_are_several(log_to: LogTo) -> None:
    """Also the lines of libraries, whose other facts are withheld."""
    stream = log_to(with_pid=True)
    logging.getLogger("agent_service.x").info("once")
    logging.getLogger("dspy").warning("once")
    assert [line["pid"] for line in _lines(stream)] == [os.getpid()] * 2
