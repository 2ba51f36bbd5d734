"""Names of models, providers and conversations in traces."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from dspy import lm15

from agent_service.core.messages import ConversationId, Usage
from agent_service.telemetry.tracing import genai


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("azure/my-deployment", "azure.ai.openai", "my-deployment"),
        ("bedrock/anthropic.claude", "aws.bedrock", "anthropic.claude"),
        ("ollama_chat/llama3/8b", "ollama_chat", "llama3/8b"),
        ("offline", "offline", "offline"),
    ],
)
def test_a_model_has_the_provider_s_name_of_the_conventions(model: str, provider: str, name: str) -> None:
    """Where they have one; else DSPy's."""
    assert genai.of_model(model, "chat") == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
    }


def test_a_conversation_s_identity_tells_nobody_s_name() -> None:
    """The same in each turn, another one for another user or session, also where names run together."""
    ada = genai.of_conversation(ConversationId("ada@example.com", "work"))
    assert ada == genai.of_conversation(ConversationId("ada@example.com", "work"))
    others = [ConversationId("ada@example.com", "home"), ConversationId("ada@example.comw", "ork")]
    assert ada not in {genai.of_conversation(other) for other in others}
    assert "ada" not in ada
    assert len(ada) == 32
    genai.of_conversation(ConversationId("\ud800"))


def test_how_a_model_was_asked_and_answered_without_a_word_of_it() -> None:
    """Settings of the request, identity, end and cost of the answer."""
    request = lm15.Request(
        model="m", messages=(lm15.Message.user("SECRET"),), config=lm15.Config(temperature=0.5, max_tokens=9)
    )
    response = lm15.Response(
        id="r-1",
        model="m-2026",
        message=lm15.Message.assistant("SECRET"),
        finish_reason="stop",
        usage=lm15.Usage(input_tokens=9, output_tokens=3, cache_read_tokens=4),
    )
    assert genai.of_request(request) == {"gen_ai.request.max_tokens": 9, "gen_ai.request.temperature": 0.5}
    assert genai.of_response(response) == {
        "gen_ai.response.id": "r-1",
        "gen_ai.response.model": "m-2026",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.cache_read.input_tokens": 4,
    }
    assert genai.of_usage(Usage(10, 5, 1)) == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    }


def test_what_an_answer_does_not_say_is_left_out() -> None:
    """An attribute may not be None."""
    bare = SimpleNamespace(
        id=None, model="", finish_reason=None, usage=SimpleNamespace(cache_read_tokens=None)
    )
    assert genai.of_response(bare) == {}
