"""The language model: which, how it is reached, and when it is left alone."""

from __future__ import annotations

from pydantic import BaseModel

from agent_service.config.values import ApiKey, Url, Word, Words, setting

OFFLINE_MODEL = "offline"
_DEFAULT_MODEL = "openai/gpt-4o-mini"


class ModelSettings(BaseModel):
    """The language model: which, how it is reached, and when it is left alone."""

    openai_api_key: ApiKey | None = setting(
        "OpenAI's own variable: decides the default of `AGENT_MODEL`, and the provider's client reads it",
        allowed="visible ASCII characters",
    )
    agent_model: Word = setting(
        "the language model",
        allowed="any model string that DSPy accepts, or `offline`",
        factory=lambda data: _DEFAULT_MODEL if data["openai_api_key"] else OFFLINE_MODEL,
        shown="`openai/gpt-4o-mini` when `OPENAI_API_KEY` is set, else `offline`",
    )
    agent_fallback_models: Words = setting(
        "models tried in order when the one before fails past its retries or its breaker is open",
        (),
        allowed="model strings, comma-separated",
        shown="-",
    )
    agent_api_base: Url | None = setting(
        "address of a self-hosted model or a gateway", allowed="an http:// or https:// URL"
    )
    agent_api_key: ApiKey | None = setting(
        "key for the model's provider, instead of the provider's own variable",
        allowed="visible ASCII characters",
    )
    agent_lm_max_in_flight: int = setting(
        "calls to one language model at once; fewer while it limits us or is slow",
        low=1,
        high=100_000,
        factory=lambda data: 2 * data["agent_pool_size"],
        shown="twice `AGENT_POOL_SIZE`",
    )
    agent_max_retries: int = setting("retries of one language model call", 3, low=0, high=10)
    agent_lm_timeout_secs: float = setting(
        "total time of one attempt to call the language model",
        low=0.1,
        high=3600,
        allowed="a number from 0.1 to `AGENT_REQUEST_TIMEOUT_SECS`",
        factory=lambda data: min(25.0, data["agent_request_timeout_secs"] * 5 / 6),
        shown="five sixths of `AGENT_REQUEST_TIMEOUT_SECS`, at most 25",
    )
    circuit_breaker_threshold: int = setting(
        "failures in a row that open the breaker; it opens by failure rate too",
        5,
        low=1,
        high=1000,
    )
    circuit_breaker_timeout_secs: float = setting(
        "how long it stays open before it probes", 30.0, low=0.1, high=3600
    )
    circuit_breaker_slow_secs: float = setting(
        "a language model call that takes longer counts as slow",
        low=0.1,
        high=3600,
        factory=lambda data: min(20.0, data["agent_lm_timeout_secs"] * 4 / 5),
        shown="four fifths of `AGENT_LM_TIMEOUT_SECS`, at most 20",
    )
