from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.access.limits.rate import Rate
from agent_service.config import Settings, SettingsError, options
from agent_service.programs.base import NamedProgram

NO_FILE = Path("/nowhere/.env")

DEFAULTS = {
    "SERVER_HOST": "0.0.0.0",  # noqa: S104 - nothing is bound here
    "SERVER_PORT": 3000,
    "SERVER_WORKERS": 1,
    "AGENT_PROGRAM": (),
    "AGENT_PROGRAM_STATE": (),
    "AGENT_TOOLS": (),
    "AGENT_MODEL": "offline",
    "AGENT_FAST_PATH": "on",
    "AGENT_API_BASE": None,
    "AGENT_API_KEY": None,
    "AGENT_POOL_SIZE": 64,
    "AGENT_POOL_QUEUE": 64,
    "AGENT_POOL_WAIT_SECS": 2,
    "AGENT_MAX_RETRIES": 3,
    "AGENT_MAX_STEPS": 10,
    "AGENT_REQUEST_TIMEOUT_SECS": 30,
    "AGENT_LM_TIMEOUT_SECS": 25,
    "AGENT_TOOL_TIMEOUT_SECS": 20,
    "AGENT_MAX_QUESTION_CHARS": 32_768,
    "CIRCUIT_BREAKER_THRESHOLD": 5,
    "CIRCUIT_BREAKER_TIMEOUT_SECS": 30,
    "CIRCUIT_BREAKER_SLOW_SECS": 20,
    "REDIS_URL": None,
    "REDIS_WAIT_REPLICAS": 0,
    "MEMORY_PATH": Path("data/agent-service.db"),
    "MEMORY_TTL_HOURS": 24,
    "MEMORY_CONTEXT_TOKENS": 4000,
    "MEMORY_CONTEXT_TURNS": 3,
    "MEMORY_MAX_TURNS": 100,
    "MEMORY_ON_FAILURE": "refuse",
    "MEMORY_TIMEOUT_SECS": 1,
    "STREAM_RESUME_SECS": 300,
    "SERVER_TLS_CERT_FILE": None,
    "SHUTDOWN_DELAY_SECS": 0,
    "SHUTDOWN_GRACE_SECS": 30,
    "LOG_LEVEL": "info",
}
"""The defaults of the public contract."""


def _load(**environ: str) -> Settings:
    return Settings.load(environ, dotenv_path=NO_FILE)


def _problems(**environ: str) -> dict[str, str]:
    """What is said of each wrong variable."""
    with pytest.raises(SettingsError) as raised:
        _load(**environ)
    return {problem.name: str(problem) for problem in raised.value.problems}


def test_defaults_are_those_of_the_contract() -> None:
    """An empty environment is a working one."""
    settings = _load()
    assert {name: getattr(settings, name.lower()) for name in DEFAULTS} == DEFAULTS
    assert settings.log_format in {"json", "pretty"}


def test_every_setting_is_read_from_its_variable() -> None:
    """The variable is the field's name in capitals."""
    settings = _load(SERVER_PORT="0", AGENT_TOOLS="a.b:c, d:e", MEMORY_PATH="/x/y.db", AGENT_PROGRAM="p:q.r")
    assert (settings.server_port, settings.memory_path) == (0, Path("/x/y.db"))
    assert (settings.agent_program, settings.agent_tools) == ((("r", "p:q.r"),), ("a.b:c", "d:e"))


def test_settings_are_frozen() -> None:
    """Nothing changes them after the start."""
    with pytest.raises(ValueError, match="frozen"):
        _load().server_port = 1  # type: ignore[misc] # that is the point


def test_words_may_be_written_in_any_case() -> None:
    """LOG_LEVEL=INFO is a habit and no mistake."""
    settings = _load(LOG_LEVEL="WARNING,a.B=Debug", LOG_FORMAT="JSON", MEMORY_ON_FAILURE="Degrade")
    assert settings.log_levels == {"": "warning", "a.B": "debug"}
    assert (settings.log_format, settings.memory_on_failure) == ("json", "degrade")


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({}, "offline"),
        ({"OPENAI_API_KEY": "sk-1"}, "openai/gpt-4o-mini"),
        ({"OPENAI_API_KEY": ""}, "offline"),
        ({"OPENAI_API_KEY": "sk-1", "AGENT_MODEL": "offline"}, "offline"),
        ({"AGENT_MODEL": "anthropic/claude"}, "anthropic/claude"),
    ],
)
def test_the_model_is_offline_unless_a_provider_is_configured(environ: dict[str, str], model: str) -> None:
    """A key of OpenAI's is enough; what is named wins."""
    settings = _load(**environ)
    assert settings.agent_model == model
    assert options.lm_options(settings).chosen is ("AGENT_MODEL" in environ)


def test_a_key_or_address_without_a_model_is_refused() -> None:
    """The offline model would ignore them, and its answers would surprise."""
    assert _problems(AGENT_API_KEY="k") == {
        "AGENT_MODEL": "AGENT_MODEL: must be set when AGENT_API_BASE or AGENT_API_KEY is"
    }
    assert _load(AGENT_API_KEY="k", AGENT_MODEL="offline").agent_model == "offline"


def test_defaults_follow_the_values_they_depend_on() -> None:
    """Queue as long as the pool is wide; an LM call fails, or is slow, before the query's time is up."""
    settings = _load(AGENT_POOL_SIZE="7", AGENT_REQUEST_TIMEOUT_SECS="6")
    assert settings.agent_pool_queue == 7
    assert settings.agent_lm_timeout_secs == pytest.approx(5)
    assert settings.circuit_breaker_slow_secs == pytest.approx(4)
    patient = _load(AGENT_REQUEST_TIMEOUT_SECS="600")
    assert (patient.agent_lm_timeout_secs, patient.circuit_breaker_slow_secs) == (25, 20)


def test_an_lm_call_may_not_outlast_its_query() -> None:
    """Its own limit would never be reached, and a hanging upstream never be told as failing."""
    (said,) = _problems(AGENT_LM_TIMEOUT_SECS="60").values()
    assert said == "AGENT_LM_TIMEOUT_SECS='60': must not exceed AGENT_REQUEST_TIMEOUT_SECS, which is 30"


WRONG = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http protobuf",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http protobuf",
    "OTEL_TRACES_EXPORTER": "otlp, console",
    "AGENT_FALLBACK_MODELS": "openai/a b",
    "AGENT_LM_MAX_IN_FLIGHT": "0",
    "AGENT_MAX_LM_CALLS": "0",
    "AGENT_MAX_TOKENS": "many",
    "AGENT_MAX_TOOL_STEPS": "-1",
    "AGENT_POOL_PER_USER": "0",
    "SERVER_HOST": "a b",
    "SERVER_PORT": "http",
    "SERVER_WORKERS": "0",
    "AGENT_PROGRAM": "no_attribute",
    "AGENT_PROGRAM_STATE": "a=x.json,a=y.json",
    "AGENT_TOOLS": "a:b,,c:d",
    "OPENAI_API_KEY": "ké",
    "AGENT_MODEL": "my model",
    "AGENT_API_BASE": "localhost:8000",
    "AGENT_API_KEY": "secret with blank",
    "AGENT_POOL_SIZE": "0",
    "AGENT_POOL_QUEUE": "-1",
    "AGENT_POOL_WAIT_SECS": "nan",
    "AGENT_MAX_RETRIES": "many",
    "AGENT_FAST_PATH": "faster",
    "AGENT_MAX_STEPS": "1.5",
    "AGENT_REQUEST_TIMEOUT_SECS": "1e999",
    "AGENT_LM_TIMEOUT_SECS": "0",
    "AGENT_TOOL_TIMEOUT_SECS": "-inf",
    "AGENT_MAX_QUESTION_CHARS": "10000000",
    "CIRCUIT_BREAKER_THRESHOLD": "0",
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "0",
    "CIRCUIT_BREAKER_SLOW_SECS": "x",
    "REDIS_URL": "http://secret@host",
    "REDIS_WAIT_REPLICAS": "-1",
    "MEMORY_TTL_HOURS": "0",
    "MEMORY_CONTEXT_TOKENS": "99",
    "MEMORY_CONTEXT_TURNS": "-1",
    "MEMORY_MAX_TURNS": "0",
    "MEMORY_ON_FAILURE": "ignore",
    "MEMORY_TIMEOUT_SECS": "1h",
    "CONVERSATION_POLICY": "queue",
    "CONVERSATION_WAIT_SECS": "0",
    "STREAM_RESUME_SECS": "-1",
    "JWT_JWKS_URL": "http://example.com",
    "JWT_ISSUER": "a b",
    "JWT_AUDIENCE": "a b",
    "JWT_ALGORITHMS": "none",
    "JWT_USER_CLAIM": "a b",
    "JWT_SCOPE_CLAIM": "a b",
    "RATE_LIMIT": "60/fortnight",
    "RATE_LIMIT_PER_USER": "0/minute",
    "TOKENS_PER_DAY": "0",
    "RELEASE_POLL_SECS": "0",
    "RELEASE_ERROR_MARGIN": "20",
    "RELEASE_MIN_OUTCOMES": "0",
    "SHUTDOWN_DELAY_SECS": "-1",
    "SHUTDOWN_GRACE_SECS": "-1",
    "LOG_FORMAT": "xml",
    "LOG_LEVEL": "info,=debug",
}


ANY_TEXT = {
    "AGENT_MCP_SERVERS",
    "AGENT_RELEASES_PATH",
    "API_KEYS_FILE",
    "JWT_JWKS_FILE",
    "MEMORY_PATH",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    "OTEL_PROPAGATORS",
    "OTEL_SDK_DISABLED",
    "SERVER_TLS_CERT_FILE",
    "SERVER_TLS_KEY_FILE",
    "SERVER_TLS_KEY_PASSWORD",
    "SERVER_TLS_CLIENT_CA_FILE",
}
"""Paths and passwords can be anything, and OpenTelemetry takes any word for no."""


def test_one_message_lists_every_wrong_variable_with_what_is_allowed() -> None:
    """An operator mends all at once, not one at each start."""
    said = _problems(**WRONG)
    assert set(said) == set(WRONG)
    assert {row.name for row in Settings.table()} - set(said) == ANY_TEXT
    assert said["SERVER_PORT"] == "SERVER_PORT='http': must be a whole number from 0 to 65535"
    assert said["AGENT_POOL_WAIT_SECS"] == "AGENT_POOL_WAIT_SECS='nan': must be a number from 0 to 600"
    assert said["MEMORY_ON_FAILURE"] == "MEMORY_ON_FAILURE='ignore': must be refuse or degrade"


def test_secrets_are_masked_in_messages_and_in_repr() -> None:
    """A key may be wrong or right; it is never shown."""
    said = _problems(AGENT_API_KEY="secret with blank", AGENT_API_BASE="ftp://user:secret@host")
    assert "secret" not in "".join(said.values())
    assert "secret" not in repr(_load(AGENT_API_KEY="secret", AGENT_MODEL="a/b"))


REDIS_URLS = [
    "redis://localhost",
    "rediss://user:secret@host:6380/1?ssl_ca_certs=/etc/ca.pem",
    "unix:///run/redis.sock?db=2",
    "redis+sentinel://:secret@a:26379,b/main/1?sentinel_password=secret",
    "rediss+cluster://user:secret@a:7000,b:7001",
]


@pytest.mark.parametrize("url", REDIS_URLS)
def test_redis_is_named_by_a_url_that_is_never_shown(url: str) -> None:
    """Each form is taken; its password is in no repr."""
    settings = _load(REDIS_URL=url, AGENT_POOL_SIZE="7", MEMORY_TIMEOUT_SECS="2")
    redis = options.redis_options(settings)
    assert redis is not None
    assert (redis.url, redis.max_connections, redis.timeout_seconds) == (url, 14, 2.0)
    assert "secret" not in repr(settings) + repr(redis)
    assert options.redis_options(_load()) is None


def test_replicas_cannot_be_waited_for_in_a_cluster() -> None:
    """What would not be done is refused."""
    (said,) = _problems(REDIS_URL="redis+cluster://host", REDIS_WAIT_REPLICAS="1").values()
    assert said == "REDIS_WAIT_REPLICAS='1': must be 0 with a cluster"
    assert _load(REDIS_URL="redis://host", REDIS_WAIT_REPLICAS="1").redis_wait_replicas == 1


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"SERVER_TLS_CERT_FILE"}, {"SERVER_TLS_KEY_FILE"}),
        ({"SERVER_TLS_KEY_FILE"}, {"SERVER_TLS_CERT_FILE"}),
        ({"SERVER_TLS_CLIENT_CA_FILE"}, {"SERVER_TLS_CERT_FILE", "SERVER_TLS_KEY_FILE"}),
        ({"SERVER_TLS_CERT_FILE", "SERVER_TLS_KEY_PASSWORD"}, {"SERVER_TLS_KEY_FILE"}),
    ],
)
def test_half_of_tls_is_refused(given: set[str], missing: set[str]) -> None:
    """Whoever means HTTPS never gets HTTP."""
    said = _problems(**dict.fromkeys(given, "/a.pem"))
    assert set(said) == missing
    assert all("must be set when SERVER_TLS_" in text for text in said.values())


def test_limits_are_read_as_people_write_them() -> None:
    """One or several windows, for keys and users apart; without a setting there is no limit."""
    read = options.rate_limit_options(
        _load(RATE_LIMIT="10/second;600/hour", RATE_LIMIT_PER_USER="5 / Minute", TOKENS_PER_DAY="1000")
    )
    assert read.rates == (Rate(10, "second"), Rate(600, "hour"))
    assert read.rates_per_user == (Rate(5, "minute"),)
    assert (read.tokens_per_day, bool(read)) == (1000, True)
    assert not options.rate_limit_options(_load())


def test_releases_are_judged_as_it_is_set() -> None:
    """How often they are looked for, and what is worse."""
    read = options.release_options(
        _load(RELEASE_POLL_SECS="5", RELEASE_ERROR_MARGIN="0.1", RELEASE_MIN_OUTCOMES="50")
    )
    assert (read.poll_seconds, read.trial.margin, read.trial.min_outcomes) == (5, 0.1, 50)
    assert options.release_options(_load(RELEASE_MIN_OUTCOMES="200")).trial.min_outcomes == 200


def test_a_pair_for_tls_is_taken_and_its_password_never_shown() -> None:
    """The password is a secret in every message and repr."""
    pair = {"SERVER_TLS_CERT_FILE": "/a.pem", "SERVER_TLS_KEY_FILE": "/a.key"}
    settings = _load(**pair, SERVER_TLS_KEY_PASSWORD="secret")
    assert settings.server_tls_cert_file == Path("/a.pem")
    assert "secret" not in repr(settings)


@given(st.sampled_from([row.name for row in Settings.table()]), st.text(max_size=20))
def test_any_value_is_either_taken_or_told(name: str, value: str) -> None:
    """No value ends in another error, and no number that is taken is infinite."""
    try:
        settings = _load(**{name: value})
    except SettingsError as error:
        assert error.problems  # noqa: PT017 - either end is right
    else:
        taken = getattr(settings, name.lower())
        assert not isinstance(taken, float) or math.isfinite(taken)


def test_the_options_of_the_parts_come_from_the_settings() -> None:
    """Settings only compose; each part checks its own options."""
    settings = _load(
        AGENT_MODEL="a/b",
        AGENT_API_BASE="http://host/v1",
        AGENT_API_KEY="key",
        AGENT_POOL_SIZE="2000",
        AGENT_POOL_QUEUE="5",
        AGENT_POOL_WAIT_SECS="0.5",
        AGENT_MAX_RETRIES="1",
        AGENT_MAX_STEPS="4",
        AGENT_REQUEST_TIMEOUT_SECS="60",
        AGENT_LM_TIMEOUT_SECS="50",
        AGENT_TOOL_TIMEOUT_SECS="8",
        AGENT_PROGRAM="p:q",
        AGENT_TOOLS="t:u",
        CIRCUIT_BREAKER_THRESHOLD="3",
        CIRCUIT_BREAKER_TIMEOUT_SECS="9",
        CIRCUIT_BREAKER_SLOW_SECS="7",
        MEMORY_TTL_HOURS="2",
        MEMORY_MAX_TURNS="6",
    )
    pool, breaker, store = (
        options.pool_options(settings),
        options.breaker_options(settings),
        options.store_options(settings),
    )
    lm, program = options.lm_options(settings), options.program_options(settings)
    assert (pool.size, pool.queue_limit, pool.wait_seconds) == (2000, 5, 0.5)
    assert (breaker.failure_threshold, breaker.open_seconds, breaker.slow_call_seconds) == (3, 9, 7)
    assert (store.ttl_seconds, store.max_turns) == (7200, 6)
    assert (lm.model, lm.api_base, lm.api_key) == ("a/b", "http://host/v1", "key")
    assert (lm.max_retries, lm.call_timeout_seconds, lm.max_connections) == (1, 50, 2000)
    assert (program.tools, program.max_steps) == (("t:u",), 4)
    assert program.programs == (NamedProgram("q", "p:q"),)
    assert (program.tool_timeout_seconds, program.threads) == (8, 2000)


def test_a_probe_of_the_breaker_may_take_as_long_as_any_call() -> None:
    """Its lease would otherwise end before the call can, and a slow upstream never be found well again."""
    patient = _load(AGENT_REQUEST_TIMEOUT_SECS="100", AGENT_LM_TIMEOUT_SECS="90")
    assert options.breaker_options(patient).probe_lease_seconds == 90
