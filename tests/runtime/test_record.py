"""What is told of a query that is over: once, with what it took, and without a word of its text."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.errors import (
    CancelledByCallerError,
    CircuitBreakerOpenError,
    ContextTooLongError,
    DeadlineExceededError,
    InternalError,
    ServiceError,
    ShuttingDownError,
    UnreadableReplyError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from agent_service.core.messages import Answer, ConversationId, Progress, Query, Usage
from agent_service.core.observer import QueryFinished
from agent_service.core.run import Run
from agent_service.runtime.record import Record, describe
from agent_service.testing import FakeClock, RecordingObserver, ScriptedProgram

SECRET = "What did the doctor say?"
QUERY = Query("r1", ConversationId("ada", "s1"), SECRET)


class Scene:
    """A run that has used a tool and the model, and the record of its query."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.observer = RecordingObserver()
        deadline = Deadline.after(self.clock, 30)
        run = Run(request_id="r1", deadline=deadline, clock=self.clock, observer=self.observer)
        self.record = Record(QUERY, run, program=ScriptedProgram().spec)
        run.count_tool_step("clock")
        run.count_lm_call(Usage(10, 5, lm_calls=1))
        self.clock.advance(0.5)


@pytest.fixture
def scene() -> Scene:
    """Half a second after the query began."""
    return Scene()


def finished(*, code: str | None, model: str, stored: bool, cause: str = "") -> QueryFinished:
    """What is told of the scene's query."""
    return QueryFinished(
        request_id="r1",
        user_id="ada",
        session_id="s1",
        program="scripted",
        model=model,
        code=code,
        reasoning_steps=1,
        tools_used=("clock",),
        usage=Usage(10, 5, lm_calls=1),
        latency_seconds=0.5,
        stored=stored,
        cause=cause,
    )


@pytest.mark.parametrize("stored", [True, False])
def test_a_success_is_told_with_the_model_that_answered(scene: Scene, stored: bool) -> None:
    """The event holds what the run took, and the answer gets its latency."""
    answer = Answer(QUERY, "42", "other-model", 1, ("clock",), Usage(10, 5, lm_calls=1), 0.0, stored)

    measured = scene.record.succeeded(answer)

    assert measured.latency_seconds == 0.5
    assert measured.text == "42"
    assert scene.observer.events == [finished(code=None, model="other-model", stored=stored)]


def test_a_failure_is_told_by_its_code(scene: Scene) -> None:
    """What the run took before it failed is told too; the error is handed back to be raised."""
    error = UpstreamError()

    assert scene.record.failed(error) is error
    assert scene.observer.events == [finished(code="upstream_error", model="scripted-model", stored=False)]


def test_a_failure_of_a_program_tells_how_far_it_came(scene: Scene) -> None:
    """Once the program has begun; a refusal before that has cost nothing and says nothing."""
    assert scene.record.failed(UpstreamError()).progress is None
    scene.record.program_begins()
    assert scene.record.failed(UpstreamError()).progress == Progress(1, Usage(10, 5, lm_calls=1))


def test_the_cause_is_named_without_its_text(scene: Scene) -> None:
    """The exception behind an error is known by class, be it handed over or chained."""
    error = UpstreamError()
    error.__cause__ = ConnectionResetError(SECRET)
    scene.record.failed(error)
    scene.record.failed(InternalError(), cause=KeyError(SECRET))

    assert [event.cause for event in scene.observer.of(QueryFinished)] == ["ConnectionResetError", "KeyError"]
    assert SECRET not in repr(scene.observer.events)


def test_the_version_is_told(scene: Scene) -> None:
    """In the answer and in the event: what the program was loaded with, or that it was with nothing."""
    spec = replace(ScriptedProgram().spec, version="v1")
    run = Run(
        request_id="r1",
        deadline=Deadline.after(scene.clock, 30),
        clock=scene.clock,
        observer=scene.observer,
    )
    answer = Answer(QUERY, "42", "m", 0, (), Usage(), 0.0, stored=True)

    assert scene.record.succeeded(answer).program_version == "base"
    assert Record(QUERY, run, program=spec).succeeded(answer).program_version == "v1"
    assert [event.version for event in scene.observer.of(QueryFinished)] == ["base", "v1"]


@pytest.mark.parametrize(
    ("error", "is_blamed"),
    [
        (InternalError(), True),
        (DeadlineExceededError(), True),
        (ContextTooLongError(), True),
        (UnreadableReplyError(), True),
        (UpstreamError(), False),
        (UpstreamRateLimitedError(), False),
        (CircuitBreakerOpenError(), False),
        (CancelledByCallerError(), False),
        (ShuttingDownError(), False),
    ],
)
def test_a_program_is_blamed_for_what_it_may_have_done(
    scene: Scene, error: ServiceError, is_blamed: bool
) -> None:
    """Not for its provider, nor for its caller; and never before it has begun."""
    scene.record.failed(error)
    scene.record.program_begins()
    scene.record.failed(error)

    blamed = [event.may_blame_program for event in scene.observer.of(QueryFinished)]
    assert blamed == [False, is_blamed]


def fail() -> NoReturn:
    """Fail here."""
    raise ValueError(SECRET)


def test_an_error_is_described_by_its_class_and_its_line() -> None:
    """The line is the innermost, its file without the path of the machine."""
    with pytest.raises(ValueError, match="doctor") as raised:
        fail()

    line = fail.__code__.co_firstlineno + 2
    assert describe(raised.value) == f"ValueError at test_record.py:{line}"


def test_no_error_has_no_description() -> None:
    """A failure without a cause, a deadline for one, has nothing to name."""
    assert describe(None) == ""
