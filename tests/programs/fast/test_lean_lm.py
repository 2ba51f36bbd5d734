"""A lean call sends DSPy's own request and fails with DSPy's own errors."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15
from dspy.utils.exceptions import ContextWindowExceededError, LMRateLimitError, LMUnexpectedError

from agent_service.programs.fast.lean_lm import LeanLM, is_lean
from agent_service.programs.fast.lm_internals import AdapterKind
from agent_service.programs.fast.plans.plan import Plan
from agent_service.programs.fast.plans.snapshot import NoPlanError
from tests.programs.conftest import ScriptedTransport, response, said, scripted_lm
from tests.programs.fast.conftest import lm_at_seam

if TYPE_CHECKING:
    from collections.abc import Callable

QA = dspy.Signature("question -> answer")
DEMOS = [{"question": "q", "answer": "a"}]
PLAN = Plan.of(QA, DEMOS, AdapterKind())
ASKED = {"question": "Why?"}
THINKING = [lm15.ThinkingPart("hm"), lm15.TextPart("yes")]


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.3, "max_tokens": 50, "seed": 3}])
@pytest.mark.parametrize("config", [{}, {"temperature": 0.9, "top_p": 0.5, "rollout_id": 3}])
async def test_the_request_is_dspys(settings: dict[str, Any], config: dict[str, Any]) -> None:
    """Field by field, with the LM's settings and the predictor's."""
    lm, transport = lm_at_seam(said(answer="a"), **settings)
    predict = dspy.Predict(QA, **config)
    predict.demos = DEMOS
    with dspy.context(lm=lm, disable_history=True):
        await predict.acall(question="Why?")
    assert [LeanLM.of(lm, config, PLAN, ASKED).request(ASKED)] == transport.requests


async def test_the_answer_is_what_adapters_are_given() -> None:
    """A text, or a dict when there is more than text; the same by both ways."""
    replies = ["plain", response("", message=lm15.Message.assistant(THINKING))]
    for reply, output in zip(replies, ["plain", {"text": "yes", "reasoning_content": "hm"}], strict=True):
        lm, _ = lm_at_seam(reply)
        lean = LeanLM.of(lm, {}, PLAN, ASKED)
        request = lean.request(ASKED)
        assert request is not None
        assert await lean.acomplete(request) == output
        assert await asyncio.to_thread(lean.complete, request) == output


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (lm15.ContextLengthError("too long"), ContextWindowExceededError),
        (lm15.RateLimitError("slower", retry_after=3.0), LMRateLimitError),
        (ZeroDivisionError("a bug"), LMUnexpectedError),
    ],
)
async def test_errors_are_those_of_dspy(raised: Exception, expected: type[Exception]) -> None:
    """Of the same class and words, with the original as the cause."""
    lm, _ = lm_at_seam(raised)
    lean = LeanLM.of(lm, {}, PLAN, ASKED)
    request = lean.request(ASKED)
    assert request is not None
    with dspy.context(disable_history=True), pytest.raises(expected) as there:
        await lm.acall("Why?")
    with pytest.raises(expected) as here:
        await lean.acomplete(request)
    with pytest.raises(expected) as here_sync:
        await asyncio.to_thread(lean.complete, request)
    for error in (here.value, here_sync.value):
        assert (str(error), repr(error.__cause__)) == (str(there.value), repr(there.value.__cause__))


async def test_a_truncated_answer_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """As DSPy warns, so that operators raise the limit."""
    lm, _ = lm_at_seam(response("half", finish_reason="length"))
    lean = LeanLM.of(lm, {}, PLAN, ASKED)
    logging.getLogger("dspy").propagate = True
    request = lean.request(ASKED)
    assert request is not None
    await lean.acomplete(request)
    assert "truncated" in caplog.text


@pytest.mark.parametrize("text", ["a\ud800b", "<<CUSTOM-TYPE-START-IDENTIFIER>>"])
async def test_what_is_not_sent_as_plain_text_has_no_request(text: str) -> None:
    """DSPy refuses the one and divides the other into parts."""
    lm, _ = lm_at_seam("a")
    assert LeanLM.of(lm, {}, PLAN, ASKED).request({"question": text}) is None


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({"n": 2}, {}),
        ({}, {"n": 2}),
        ({}, {"num_generations": 2}),
        ({"num_generations": 2}, {}),
        ({"logprobs": True}, {}),
        ({"stop": ["a"]}, {}),
        ({}, {"response_format": {"type": "json_object"}}),
        ({}, {"tools": None}),
        ({"temperature": "hot"}, {}),
    ],
)
async def test_settings_that_ask_for_more_have_no_lean_call(settings: Any, config: Any) -> None:
    """Several answers, tools, values that may change in place, and what DSPy itself refuses."""
    lm, _ = lm_at_seam("a")
    lm.kwargs.update(settings)
    with pytest.raises(NoPlanError):
        LeanLM.of(lm, config, PLAN, ASKED)


async def test_it_holds_while_the_settings_are_the_same() -> None:
    """They may be changed in place, also from 1 to 1.0, which is another request."""
    lm, _ = lm_at_seam("a", temperature=1)
    lean = LeanLM.of(lm, {}, PLAN, ASKED)
    assert lean.holds(lm, {}, None)
    assert not lean.holds(lm, {"seed": 1}, None)
    assert not lean.holds(lm.copy(), {}, None)
    lm.kwargs["temperature"] = 1.0
    assert not lean.holds(lm, {}, None)


def _listened(lm: dspy.LM) -> None:
    lm.callbacks = [object()]


def _cached(lm: dspy.LM) -> None:
    lm.cache = True


def _retried(lm: dspy.LM) -> None:
    lm.num_retries = 1


def _completing(lm: dspy.LM) -> None:
    lm.model_type = "text"


def _replaced(lm: dspy.LM) -> None:
    lm.aforward = lm.forward


@pytest.mark.parametrize("change", [_listened, _cached, _retried, _completing, _replaced])
async def test_an_lm_is_lean_while_only_the_seam_knows_of_its_calls(
    change: Callable[[dspy.LM], None],
) -> None:
    """Callbacks, the cache, retries of DSPy's own and other methods are DSPy's to serve."""
    lm, _ = lm_at_seam("a")
    assert is_lean(lm)
    change(lm)
    assert not is_lean(lm)


def test_an_lm_elsewhere_is_not_lean() -> None:
    """Nor one of another class."""
    assert not is_lean(scripted_lm(ScriptedTransport("a"), cache=False, num_retries=0))
    assert not is_lean(None)
