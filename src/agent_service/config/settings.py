"""Settings: read once from the environment, validated whole, frozen.

The fields of ``Settings``, in ``groups/``, are the only list of settings: name, default, what is allowed,
what it means. docs/settings.md is checked against them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError

from agent_service.config.groups.access import AccessSettings, access_contradictions
from agent_service.config.groups.conversations import ConversationSettings
from agent_service.config.groups.logs import LogSettings
from agent_service.config.groups.model import OFFLINE_MODEL, ModelSettings
from agent_service.config.groups.program import ProgramSettings
from agent_service.config.groups.queries import QuerySettings
from agent_service.config.groups.releases import ReleaseSettings, release_contradictions
from agent_service.config.groups.server import ServerSettings
from agent_service.config.groups.tracing import TracingSettings, tracing_problems
from agent_service.config.program_names import state_contradictions
from agent_service.config.sources import SettingProblem, SettingsError, variables, wrong
from agent_service.config.values import log_levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting, for people."""

    name: str
    default: str
    allowed: str
    meaning: str


class Settings(
    TracingSettings,
    LogSettings,
    ConversationSettings,
    ModelSettings,
    QuerySettings,
    ReleaseSettings,
    ProgramSettings,
    AccessSettings,
    ServerSettings,
):
    """What an operator can set. A field's variable is its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=str.upper, allow_inf_nan=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, *, dotenv_path: Path = Path(".env")) -> Settings:
        """Read ``environ``, and ``dotenv_path`` for what is not there.

        Raises:
            SettingsError: with every wrong variable.
        """
        allowed = {row.name: row.allowed for row in cls.table()}
        values = variables(environ, dotenv_path, tuple(allowed))
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(tuple(_wrong_values(error, values, allowed))) from None
        problems = _contradictions(settings)
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
    found += state_contradictions(settings.agent_program, settings.agent_program_state)
    found += release_contradictions(settings, has_redis=settings.redis_url is not None)
    found += _half_tls(settings) + access_contradictions(settings)
    return found + tracing_problems(settings)


def _half_tls(settings: Settings) -> list[SettingProblem]:
    """HTTPS needs a certificate and its key; with one of them alone HTTP would be served instead."""
    about_tls = {
        name.upper(): getattr(settings, name) for name in type(settings).model_fields if "_tls_" in name
    }
    given = [name for name, value in about_tls.items() if value is not None]
    needed = ("SERVER_TLS_CERT_FILE", "SERVER_TLS_KEY_FILE")
    missing = [name for name in needed if given and name not in given]
    return [wrong(name, "", f"must be set when {given[0]} is") for name in missing]
