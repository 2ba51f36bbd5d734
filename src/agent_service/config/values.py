"""The kinds of values that settings take, and how each is checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from agent_service.memory.redis_url import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


def log_levels(spec: str) -> dict[str, str]:
    """Level by logger; the empty name is all others. Raises ``ValueError`` for what is neither."""
    levels = {}
    for part in spec.split(","):
        found = re.fullmatch(r"(?:(?P<logger>[\w.]+)=)?(?P<level>\w+)", part.strip())
        if found is None or found["level"].lower() not in LOG_LEVELS:
            raise ValueError(f"no level: {part!r}")
        levels[found["logger"] or ""] = found["level"].lower()
    return levels


def _checked_levels(spec: str) -> str:
    log_levels(spec)
    return spec


def _header_value(secret: SecretStr) -> SecretStr:
    """A key travels in an HTTP header, where only visible ASCII may stand."""
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError
    return secret


def _redis_address(url: SecretStr) -> SecretStr:
    parse_address(url.get_secret_value())
    return url


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _items(value: Any) -> Any:
    return [item.strip() for item in value.split(",")] if isinstance(value, str) else value


ApiKey = Annotated[SecretStr, AfterValidator(_header_value)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_address)]
Word = Annotated[str, Field(pattern=r"^\S+$", max_length=200)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_items)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$")]
ImportString = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
ImportStrings = Annotated[tuple[ImportString, ...], BeforeValidator(_items)]
LogLevels = Annotated[str, AfterValidator(_checked_levels)]
CaseBlind = BeforeValidator(_lower)


def setting(
    meaning: str,
    default: Any = None,
    *,
    low: float | None = None,
    high: float | None = None,
    allowed: str = "",
    factory: Callable[[dict[str, Any]], Any] | None = None,
    shown: str = "",
) -> Any:
    """A field. ``allowed`` and ``shown`` say in words what bounds and default do not say themselves."""
    plain = f"{default:g}" if isinstance(default, float) else str(default)
    about: dict[str, Any] = {
        "allowed": allowed,
        "range": f"from {low} to {high}",
        "default": shown or ("-" if default is None else plain),
    }
    given: dict[str, Any] = {"default": default} if factory is None else {"default_factory": factory}
    return Field(**given, ge=low, le=high, description=meaning, json_schema_extra=about)
