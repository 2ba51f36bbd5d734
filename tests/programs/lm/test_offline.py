"""The embedded offline LM as one more way to reach a model."""

from __future__ import annotations

import dspy
from dspy import lm15

from agent_service.programs.lm.offline import OFFLINE_MODEL, OfflineEngine, OfflineTransport


def request(text: str) -> lm15.Request:
    """A prompt of one user's message."""
    return lm15.Request(model=OFFLINE_MODEL, system="You are helpful.", messages=(lm15.Message.user(text),))


def test_an_answer_says_who_gave_it_and_what_it_took() -> None:
    """Model and usage are those of an answer; tokens are estimated from the characters."""
    answer = OfflineEngine().complete(request("a" * 64))
    assert answer.model == OFFLINE_MODEL
    assert answer.finish_reason == "stop"
    assert answer.text
    assert answer.usage.input_tokens == (64 + len("You are helpful.")) // 4
    assert answer.usage.output_tokens == len(answer.text) // 4


async def test_the_transport_answers_as_the_engine_does() -> None:
    """Both have the same rules."""
    transport = OfflineTransport()
    assert (await transport.complete(request("hi"))).text == OfflineEngine().complete(request("hi")).text
    await transport.aclose()


async def test_it_speaks_dspy_s_own_format() -> None:
    """Adapters can read it, in async code and in sync code."""
    lm = dspy.LM(OFFLINE_MODEL, engine=OfflineEngine(), async_engine=OfflineTransport(), cache=False)
    with dspy.context(lm=lm, disable_history=True, trace=None):
        assert (await dspy.Predict("question -> answer").acall(question="hello")).answer
        assert dspy.ChainOfThought("question -> answer")(question="hello").answer
