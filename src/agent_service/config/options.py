"""What the parts are told of the settings: one function for the options of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.access.limits.options import RateLimitOptions
from agent_service.access.limits.rate import parse_rates
from agent_service.config.program_names import named_programs
from agent_service.core.adaptive_limit import LimitOptions
from agent_service.core.breaker import BreakerOptions
from agent_service.core.pool import PoolOptions
from agent_service.core.run import RunLimits
from agent_service.memory.base import StoreOptions
from agent_service.memory.event_log.base import EventLogOptions
from agent_service.memory.redis_options import RedisOptions
from agent_service.programs.base import LMOptions, ProgramOptions
from agent_service.runtime.idempotency import IdempotencyOptions
from agent_service.runtime.runner import RunnerOptions
from agent_service.runtime.turns import TurnOptions

if TYPE_CHECKING:
    from agent_service.access.tokens import TokenOptions
    from agent_service.config.settings import Settings
    from agent_service.releases.served import ReleaseOptions

_REMEMBERED_SECONDS = 24 * 3600.0
_STORING_SECONDS = 5.0
"""Beyond its deadline, a query may need this long to store what it has."""
_LEAST_IN_FLIGHT = 4
"""With one call in flight, one that hangs would hold up all others for its whole time."""


def pool_options(settings: Settings) -> PoolOptions:
    """How much at once."""
    return PoolOptions(
        size=settings.agent_pool_size,
        queue_limit=settings.agent_pool_queue,
        wait_seconds=settings.agent_pool_wait_secs,
        per_principal=settings.agent_pool_per_user,
    )


def limit_options(settings: Settings) -> LimitOptions:
    """How many calls one language model takes at once."""
    return LimitOptions(
        maximum=settings.agent_lm_max_in_flight,
        minimum=min(_LEAST_IN_FLIGHT, settings.agent_lm_max_in_flight),
        slow_seconds=settings.circuit_breaker_slow_secs,
    )


def run_limits(settings: Settings) -> RunLimits:
    """What one query may use."""
    return RunLimits(
        lm_calls=settings.agent_max_lm_calls,
        tokens=settings.agent_max_tokens,
        tool_steps=settings.agent_max_tool_steps,
    )


def breaker_options(settings: Settings) -> BreakerOptions:
    """When the language model's breaker opens; a probe may take as long as any call."""
    standard = BreakerOptions()
    return BreakerOptions(
        failure_threshold=settings.circuit_breaker_threshold,
        open_seconds=settings.circuit_breaker_timeout_secs,
        slow_call_seconds=settings.circuit_breaker_slow_secs,
        probe_lease_seconds=max(standard.probe_lease_seconds, settings.agent_lm_timeout_secs),
    )


def lm_options(settings: Settings) -> LMOptions:
    """Which language model, and how to reach it."""
    key = settings.agent_api_key
    return LMOptions(
        model=settings.agent_model,
        api_base=settings.agent_api_base,
        api_key=key.get_secret_value() if key else None,
        fallback_models=settings.agent_fallback_models,
        chosen="agent_model" in settings.model_fields_set,
        max_retries=settings.agent_max_retries,
        call_timeout_seconds=settings.agent_lm_timeout_secs,
        max_connections=max(LMOptions().max_connections, settings.agent_pool_size),
    )


def program_options(settings: Settings) -> ProgramOptions:
    """What is served; each query in flight may need a thread."""
    return ProgramOptions(
        programs=named_programs(settings.agent_program, settings.agent_program_state),
        tools=settings.agent_tools,
        max_steps=settings.agent_max_steps,
        tool_timeout_seconds=settings.agent_tool_timeout_secs,
        threads=settings.agent_pool_size,
    )


def redis_options(settings: Settings) -> RedisOptions | None:
    """Which Redis, or None. A query in flight needs it for its own calls and for its lease."""
    if settings.redis_url is None:
        return None
    return RedisOptions(
        settings.redis_url.get_secret_value(),
        timeout_seconds=settings.memory_timeout_secs,
        wait_replicas=settings.redis_wait_replicas,
        max_connections=2 * settings.agent_pool_size,
    )


def store_options(settings: Settings) -> StoreOptions:
    """How long and how much a conversation is kept."""
    return StoreOptions(ttl_seconds=settings.memory_ttl_hours * 3600.0, max_turns=settings.memory_max_turns)


def idempotency_options(settings: Settings) -> IdempotencyOptions:
    """How long a key is remembered: not longer than the conversation that its turn is in."""
    return IdempotencyOptions(
        ttl_seconds=min(_REMEMBERED_SECONDS, settings.memory_ttl_hours * 3600.0),
        running_ttl_seconds=longest_run_seconds(settings),
    )


def runner_options(settings: Settings) -> RunnerOptions:
    """How one query is answered."""
    return RunnerOptions(
        request_timeout_seconds=settings.agent_request_timeout_secs,
        commit_reserve_seconds=settings.memory_timeout_secs,
        context_turns=settings.memory_context_turns,
        context_tokens=settings.memory_context_tokens,
        degrade_without_memory=settings.memory_on_failure == "degrade",
        limits=run_limits(settings),
    )


def turn_options(settings: Settings) -> TurnOptions:
    """How the queries of one conversation meet."""
    return TurnOptions(policy=settings.conversation_policy, wait_seconds=settings.conversation_wait_secs)


def event_log_options(settings: Settings) -> EventLogOptions:
    """How long a stream is kept: while its run may be silent, and for the time after its end."""
    return EventLogOptions(ttl_seconds=settings.stream_resume_secs + longest_run_seconds(settings))


def longest_run_seconds(settings: Settings) -> float:
    """From a query's begin to the end of all it does."""
    return settings.agent_request_timeout_secs + _STORING_SECONDS


def token_options(settings: Settings) -> TokenOptions | None:
    """Which tokens of an identity provider are accepted; None when there is none."""
    if not (settings.jwt_jwks_url or settings.jwt_jwks_file):
        return None
    from agent_service.access.tokens import TokenOptions  # noqa: PLC0415 - takes long to import

    return TokenOptions(
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience or "",
        algorithms=settings.jwt_algorithms,
        user_claim=settings.jwt_user_claim,
        scope_claim=settings.jwt_scope_claim,
    )


def rate_limit_options(settings: Settings) -> RateLimitOptions:
    """How much callers may ask for who have no limits of their own."""
    own, per_user = (
        parse_rates(text) if text else () for text in (settings.rate_limit, settings.rate_limit_per_user)
    )
    return RateLimitOptions(own, per_user, settings.tokens_per_day)


def release_options(settings: Settings) -> ReleaseOptions:
    """How releases are followed, and when a new one is taken back."""
    from agent_service.releases.served import ReleaseOptions  # noqa: PLC0415 - most services have none
    from agent_service.releases.trial import TrialOptions  # noqa: PLC0415 - as above

    trial = TrialOptions(margin=settings.release_error_margin, min_outcomes=settings.release_min_outcomes)
    return ReleaseOptions(poll_seconds=settings.release_poll_secs, trial=trial)
