"""Attributes of OpenTelemetry's conventions for generative AI (open-telemetry/semantic-conventions-genai).

Requests and answers are lm15's, read by the names of their fields: DSPy stays in its room.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from agent_service.core.messages import ConversationId, Usage

    Attributes = dict[str, AttributeValue]

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Where the conventions have another name than DSPy's model strings."""

_SETTINGS = ("max_tokens", "temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
_CONVERSATION_BYTES = 16


@lru_cache(maxsize=256)
def model_of(model: str) -> tuple[str, str]:
    """Provider and name of a DSPy model string: ``openai/gpt-4o`` is ``gpt-4o`` of ``openai``."""
    provider, slash, name = model.partition("/")
    return (_PROVIDERS.get(provider, provider), name) if slash else (model, model)


def of_model(model: str, operation: str) -> Attributes:
    """What is said of a model whatever is done with it."""
    provider, name = model_of(model)
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
    }


def of_conversation(conversation: ConversationId) -> str:
    """The conversation's identity, equal in all its turns; says neither whose it is nor its name."""
    whole = f"{conversation.user_id}\0{conversation.session_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(whole, digest_size=_CONVERSATION_BYTES).hexdigest()


def of_usage(usage: Usage) -> Attributes:
    """What was paid for."""
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }


def of_request(request: Any) -> Attributes:
    """How the model was asked, without what it was asked."""
    given = ((name, getattr(request.config, name, None)) for name in _SETTINGS)
    return {f"gen_ai.request.{name}": value for name, value in given if value is not None}


def of_response(response: Any) -> Attributes:
    """What answered and why it ended, without the answer."""
    facts = {"gen_ai.response.id": response.id, "gen_ai.response.model": response.model}
    attributes: Attributes = {name: value for name, value in facts.items() if value}
    if response.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = [response.finish_reason]
    cached = response.usage.cache_read_tokens
    if cached is not None:
        attributes["gen_ai.usage.cache_read.input_tokens"] = cached
    return attributes
