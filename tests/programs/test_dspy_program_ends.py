"""The ends of a query: what counts as an answer, and what a caller is told of a failure."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15

from agent_service.core.breaker import BreakerOptions
from agent_service.core.errors import (
    CircuitBreakerOpenError,
    ContextTooLongError,
    InternalError,
    MisconfiguredError,
    ServiceError,
    UnreadableReplyError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from agent_service.programs.base import Upstream
from tests.programs.conftest import MODEL, Async, Program, Sync, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.programs.conftest import Serving

QA = "question -> answer"
FOUR = said(answer="4")


def recurse() -> Any:
    """Until the stack ends."""
    return recurse()


LEAVE: list[Callable[[], Any]] = [
    lambda: sys.exit(3),
    lambda: next(iter(())),
    lambda: int("x"),
    recurse,
    lambda: (_ for _ in ()).throw(asyncio.CancelledError),
]


@pytest.mark.parametrize("kind", [Sync, Async])
@pytest.mark.parametrize("leave", LEAVE, ids=["exit", "stop-iteration", "value", "recursion", "cancelled"])
async def test_a_program_s_bug_is_an_internal_error(
    serve: Serving, kind: type[Program], leave: Callable[[], Any]
) -> None:
    """Whatever a program raises, the service goes on and the caller gets an error; the cause stays inside."""

    def body(_: Program, __: str) -> Any:
        return leave()

    async def abody(_: Program, __: str) -> Any:
        return leave()

    served = await serve(kind(body if kind is Sync else abody), FOUR)
    if sys.version_info < (3, 11) and leave is LEAVE[-1]:
        pytest.skip("Python 3.10 cannot tell whose a cancellation is")
    with pytest.raises(InternalError) as failed:
        await served.ask()
    assert failed.value.__cause__ is not None
    assert failed.value.detail == "The program failed on this question."


async def test_a_tool_of_a_sync_program_cannot_end_the_service(serve: Serving) -> None:
    """A ``sys.exit`` that crosses the loop on its way to the thread must not end the loop."""

    def leave() -> None:
        sys.exit(3)

    def body(module: Any, _: str) -> Any:
        module.tool()

    module = Sync(body)
    module.tool = dspy.Tool(leave)
    served = await serve(module, FOUR)
    with pytest.raises(InternalError):
        await served.ask()


@pytest.mark.parametrize(
    "returned",
    [None, dspy.Prediction(other="4"), {"other": "4"}],
    ids=lambda value: type(value).__name__,
)
async def test_a_program_that_returns_no_answer_failed(
    serve: Serving, caplog: pytest.LogCaptureFixture, returned: Any
) -> None:
    """It is our error and not a half-empty response; the log says what is missing, and no more."""

    async def body(_: Program, __: str) -> Any:
        return returned

    served = await serve(Async(body), FOUR)
    with pytest.raises(InternalError):
        await served.ask()
    kind = type(returned).__name__
    assert f"the program returned a {kind} without answer" in caplog.text


@pytest.mark.parametrize("kind", [Sync, Async])
@pytest.mark.parametrize("returned", ["4", ["4"]])
async def test_a_program_that_returns_a_bare_value_has_answered(
    serve: Serving, kind: type[Program], returned: Any
) -> None:
    """``return self.answer(question=question).answer`` is how people write it, and clear."""

    async def abody(_: Program, __: str) -> Any:
        return returned

    served = await serve(kind(abody if kind is Async else lambda *_: returned), FOUR)
    assert (await served.ask()).outputs == {"answer": returned}


async def test_an_output_may_be_called_as_a_method_of_dspy_s_is(serve: Serving) -> None:
    """``labels`` or ``items`` are fields like any other."""
    served = await serve(
        dspy.Predict("question -> answer, labels: list[str]"), said(answer="4", labels='["a"]')
    )
    assert (await served.ask()).outputs == {"answer": "4", "labels": ["a"]}


async def test_a_mapping_is_an_answer_and_a_missing_side_output_is_left_out(serve: Serving) -> None:
    """Only the answer itself is indispensable."""

    async def body(_: Program, __: str) -> Any:
        return {"answer": "4"}

    served = await serve(Async(body, "question -> reasoning, answer"), FOUR)
    assert (await served.ask()).outputs == {"answer": "4"}


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (lm15.ServerError("x", status=500), UpstreamError),
        (lm15.TransportError("x"), UpstreamError),
        (lm15.TimeoutError("x", status=504), UpstreamError),
        (lm15.RateLimitError("x", status=429, retry_after=9.0), UpstreamRateLimitedError),
        (lm15.AuthError("x", status=401), MisconfiguredError),
        (lm15.BillingError("x", status=402), MisconfiguredError),
        (lm15.UnsupportedModelError("x", status=404), MisconfiguredError),
        (lm15.ContextLengthError("x", status=400), ContextTooLongError),
        (KeyError("x"), InternalError),
        ("complete nonsense", UnreadableReplyError),
    ],
)
@pytest.mark.parametrize("agent", [True, False])
async def test_a_failing_model_has_a_meaning(
    serve: Serving, reply: Any, meaning: type[ServiceError], agent: bool
) -> None:
    """Through adapter and agent alike the caller learns whose fault it was."""
    module = dspy.ReAct(QA, tools=[]) if agent else dspy.Predict(QA)
    served = await serve(module, reply)
    with pytest.raises(ServiceError) as failed:
        await served.ask()
    assert type(failed.value) is meaning
    assert failed.value.retry_after_seconds == (9.0 if meaning is UpstreamRateLimitedError else None)


async def test_an_open_breaker_is_told_before_and_during_a_query(serve: Serving) -> None:
    """Nobody queues for a call that cannot happen; who is past that gate is refused at the seam."""
    down = lm15.ServerError("x", status=500)
    served = await serve(dspy.Predict(QA), down, breaker=BreakerOptions(failure_threshold=1))
    assert served.program.refusal() is None
    with pytest.raises(UpstreamError):
        await served.ask()

    assert isinstance(served.program.refusal(), CircuitBreakerOpenError)
    assert [(upstream.name, upstream.state) for upstream in served.program.upstreams()] == [(MODEL, "open")]
    with pytest.raises(CircuitBreakerOpenError) as refused:
        await served.ask()
    assert refused.value.retry_after_seconds is not None
    assert len(served.transport.requests) == 1

    served.program.reset_upstreams()
    assert served.program.upstreams() == (Upstream(MODEL),)
