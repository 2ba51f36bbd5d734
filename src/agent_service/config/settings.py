"""Settings: read once from the environment, validated whole, frozen.

The fields of ``Settings`` are the only list of settings: name, default, what is allowed, what it means.
docs/settings.md is checked against them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_service.config.sources import SettingProblem, SettingsError, variables, wrong
from agent_service.config.values import (
    LOG_LEVELS,
    ApiKey,
    CaseBlind,
    ImportString,
    ImportStrings,
    LogLevels,
    RedisUrl,
    Url,
    Word,
    Words,
    log_levels,
    setting,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

OFFLINE_MODEL = "offline"
_DEFAULT_MODEL = "openai/gpt-4o-mini"
NOT_SUPPORTED = ("AGENT_PROGRAM_STATE", "API_KEYS_FILE", "RATE_LIMIT")
"""To ignore one of these would be a wrong promise, so the start refuses them."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting, for people."""

    name: str
    default: str
    allowed: str
    meaning: str


class Settings(BaseModel):
    """What an operator can set. A field's variable is its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=str.upper, allow_inf_nan=False)

    server_host: Word = setting("address to listen on", "0.0.0.0", allowed="a host name or address")  # noqa: S104 - a container's port is published on purpose
    server_port: int = setting("port to listen on; 0 takes a free one", 3000, low=0, high=65535)
    server_workers: int = setting(
        "processes", 1, low=1, high=1, allowed="1 in this version; for more, run more replicas"
    )
    agent_program: ImportString | None = setting(
        "the program that is served: a `dspy.Module`, a class of one, or a factory",
        allowed="`package.module:attribute`",
        shown="the built-in agent",
    )
    agent_tools: ImportStrings = setting(
        "tools of the built-in agent",
        (),
        allowed="`package.module:function`, comma-separated",
        shown="the built-in tools",
    )
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
    agent_pool_size: int = setting("queries in flight in one process", 64, low=1, high=10_000)
    agent_pool_queue: int = setting(
        "queries that may wait for a slot",
        low=0,
        high=100_000,
        factory=lambda data: data["agent_pool_size"],
        shown="`AGENT_POOL_SIZE`",
    )
    agent_pool_wait_secs: float = setting("how long each of them may wait", 2.0, low=0, high=600)
    agent_pool_per_user: int | None = setting("slots that one user may hold at once", low=1, high=10_000)
    agent_lm_max_in_flight: int = setting(
        "calls to one language model at once; fewer while it limits us or is slow",
        low=1,
        high=100_000,
        factory=lambda data: 2 * data["agent_pool_size"],
        shown="twice `AGENT_POOL_SIZE`",
    )
    agent_max_lm_calls: int | None = setting(
        "language model calls of one query, retries included", 100, low=1, high=100_000
    )
    agent_max_tokens: int | None = setting("tokens of one query", low=1, high=1_000_000_000)
    agent_max_tool_steps: int | None = setting("tool calls of one query", low=0, high=100_000)
    agent_max_retries: int = setting("retries of one language model call", 3, low=0, high=10)
    agent_max_steps: int = setting("steps of the built-in agent", 10, low=1, high=100)
    agent_request_timeout_secs: float = setting("the deadline of one query", 30.0, low=0.1, high=3600)
    agent_lm_timeout_secs: float = setting(
        "total time of one attempt to call the language model",
        low=0.1,
        high=3600,
        allowed="a number from 0.1 to `AGENT_REQUEST_TIMEOUT_SECS`",
        factory=lambda data: min(25.0, data["agent_request_timeout_secs"] * 5 / 6),
        shown="five sixths of `AGENT_REQUEST_TIMEOUT_SECS`, at most 25",
    )
    agent_tool_timeout_secs: float = setting("time of one tool call", 20.0, low=0.1, high=3600)
    agent_max_question_chars: int = setting("length of a question", 32_768, low=1, high=1_000_000)
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
    redis_url: RedisUrl | None = setting(
        "the Redis that keeps the conversations, instead of the SQLite file",
        allowed="a redis://, rediss:// or unix:// URL, or one with `+sentinel` or `+cluster`",
    )
    redis_wait_replicas: int = setting("replicas that confirm a turn; not for clusters", 0, low=0, high=10)
    memory_path: Path = setting(
        "the SQLite file of the conversations", Path("data/agent-service.db"), allowed="a path"
    )
    memory_ttl_hours: float = setting(
        "a conversation's life after its last turn", 24.0, low=0.001, high=87_600
    )
    memory_context_turns: int = setting("earlier turns shown to the agent", 3, low=0, high=1000)
    memory_context_tokens: int = setting(
        "how long they may be together, at four characters a token; longer ones are shortened",
        4000,
        low=100,
        high=10_000_000,
    )
    memory_max_turns: int = setting("turns kept of a conversation", 100, low=1, high=10_000)
    memory_on_failure: Annotated[Literal["refuse", "degrade"], CaseBlind] = setting(
        "what becomes of queries while the store fails: refused, or answered without memory",
        "refuse",
        allowed="`refuse` or `degrade`",
    )
    memory_timeout_secs: float = setting("time of one operation of the store", 1.0, low=0.05, high=60)
    conversation_policy: Annotated[Literal["serialize", "reject", "parallel"], CaseBlind] = setting(
        "a question while another of its conversation is answered: it waits, is refused, or goes ahead",
        "serialize",
        allowed="`serialize`, `reject` or `parallel`",
    )
    conversation_wait_secs: float = setting("how long it may wait", 5.0, low=0.1, high=600)
    stream_resume_secs: float = setting(
        "how long an event stream can be picked up again after its end; 0 keeps none",
        300.0,
        low=0,
        high=86_400,
    )
    shutdown_grace_secs: float = setting(
        "how long queries in flight may finish when the service stops", 30.0, low=0, high=3600
    )
    log_format: Annotated[Literal["json", "pretty"], CaseBlind] = setting(
        "form of a log line",
        allowed="`json` or `pretty`",
        factory=lambda _: "pretty" if sys.stdout.isatty() else "json",
        shown="`pretty` on a terminal, else `json`",
    )
    log_level: LogLevels = setting(
        "the lowest level that is logged, also by logger: `info,agent_service.programs=debug`",
        "info",
        allowed=f"one of {', '.join(f'`{level}`' for level in LOG_LEVELS)}; `logger=level` for one logger",
    )

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, *, dotenv_path: Path = Path(".env")) -> Settings:
        """Read ``environ``, and ``dotenv_path`` for what is not there.

        Raises:
            SettingsError: with every wrong variable.
        """
        allowed = {row.name: row.allowed for row in cls.table()}
        values = variables(environ, dotenv_path, (*allowed, *NOT_SUPPORTED))
        problems = [
            wrong(name, values.pop(name), "is not supported by this version")
            for name in NOT_SUPPORTED
            if name in values
        ]
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            problems += _wrong_values(error, values, allowed)
            raise SettingsError(tuple(problems)) from None
        problems += _contradictions(settings)
        if problems:
            raise SettingsError(tuple(problems))
        return settings

    @classmethod
    def table(cls) -> tuple[SettingRow, ...]:
        """Every setting, in order."""
        return tuple(_row(name, field) for name, field in cls.model_fields.items())

    @property
    def log_levels(self) -> dict[str, str]:
        """Level by logger; the empty name is all others."""
        return log_levels(self.log_level)


def _row(name: str, field: FieldInfo) -> SettingRow:
    about: Any = field.json_schema_extra
    number = "a whole number" if field.annotation in {int, int | None} else "a number"
    allowed = about["allowed"] or f"{number} {about['range']}"
    return SettingRow(name.upper(), about["default"], allowed, field.description or "")


def _wrong_values(
    error: ValidationError, values: Mapping[str, str], allowed: Mapping[str, str]
) -> list[SettingProblem]:
    """Each wrong variable once, with what is allowed."""
    names = dict.fromkeys(str(found["loc"][0]) for found in error.errors() if found["loc"][0] in values)
    return [wrong(name, values[name], f"must be {allowed[name].replace('`', '')}") for name in names]


def _contradictions(settings: Settings) -> list[SettingProblem]:
    """Values that are right alone and wrong together."""
    found = []
    if settings.agent_lm_timeout_secs > settings.agent_request_timeout_secs:
        limit = (
            f"must not exceed AGENT_REQUEST_TIMEOUT_SECS, which is {settings.agent_request_timeout_secs:g}"
        )
        found.append(wrong("AGENT_LM_TIMEOUT_SECS", f"{settings.agent_lm_timeout_secs:g}", limit))
    unnamed = "agent_model" not in settings.model_fields_set and settings.agent_model == OFFLINE_MODEL
    if unnamed and (settings.agent_api_base or settings.agent_api_key):
        found.append(wrong("AGENT_MODEL", "", "must be set when AGENT_API_BASE or AGENT_API_KEY is"))
    on_cluster = settings.redis_url and "+cluster:" in settings.redis_url.get_secret_value()
    if settings.redis_wait_replicas and on_cluster:
        wanted = str(settings.redis_wait_replicas)
        found.append(wrong("REDIS_WAIT_REPLICAS", wanted, "must be 0 with a cluster"))
    return found
