"""What is compiled for a predictor is used as long as it holds, and not looked for again in vain."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from agent_service.programs.fast import accelerate
from agent_service.programs.fast.compiled import reason_against
from tests.programs.conftest import said
from tests.programs.fast.conftest import lm_at_seam


def accelerated(signature: str = "question -> answer") -> Any:
    """A fast predictor."""
    predict = dspy.Predict(signature)
    accelerate(predict)
    return predict


@pytest.mark.usefixtures("in_run")
async def test_changes_between_calls_count() -> None:
    """Of the signature, the demonstrations, the settings and the LM; the LMs remembered are bounded."""
    predict = accelerated()
    sent: list[Any] = []
    for number in range(12):
        lm, transport = lm_at_seam(said(answer="a"))
        predict.config = {"seed": number}
        predict.demos = [{"question": f"q{number}", "answer": "a"}]
        predict.signature = predict.signature.with_instructions(f"Do {number}.")
        with dspy.context(lm=lm):
            await predict.acall(question="q")
        sent += transport.requests
    for number, request in enumerate(sent):
        assert request.config.seed == number
        assert f"Do {number}." in request.system
        assert f"q{number}" in request.messages[0].parts[0].text


def test_the_reason_against_a_plan_is_told() -> None:
    """Until the signature is one that has a plan."""
    predict = accelerated("image: dspy.Image -> answer")
    assert "image" in str(reason_against(predict))
    assert "image" in str(reason_against(predict))
    predict.signature = dspy.Signature("question -> answer")
    assert reason_against(predict) is None


def test_the_adapter_in_use_may_be_the_reason() -> None:
    """A program may configure one that there is no fast way for."""
    predict = accelerated()
    with dspy.context(adapter=dspy.XMLAdapter()):
        assert "XMLAdapter" in str(reason_against(predict))
    with dspy.context(adapter=dspy.JSONAdapter()):
        assert reason_against(predict) is None
