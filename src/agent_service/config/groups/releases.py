"""Where releases of a program's state are kept."""

from __future__ import annotations

from pydantic import BaseModel

from agent_service.config.sources import SettingProblem, wrong
from agent_service.config.values import setting

IN_REDIS = "redis"
"""Instead of a folder's path; a folder of this name is ``./redis``."""


class ReleaseSettings(BaseModel):
    """Where releases of a program's state are kept."""

    agent_releases_path: str | None = setting(
        "where [releases](releases.md) of the programs' states are kept, and looked for while serving",
        allowed="a path of a folder, or `redis` for the Redis of `REDIS_URL`",
    )
    release_poll_secs: float = setting("how often they are looked for", 1.0, low=0.1, high=3600)
    release_error_margin: float = setting(
        "how much larger a new version's share of failed queries may be before it is taken back; 1 for never",
        0.2,
        low=0,
        high=1,
    )
    release_min_outcomes: int = setting(
        "queries of a new version, in one process, that must have ended before it is judged",
        20,
        low=1,
        high=200,
    )


def release_contradictions(settings: ReleaseSettings, *, has_redis: bool) -> list[SettingProblem]:
    """A Redis is named that is not there."""
    if settings.agent_releases_path == IN_REDIS and not has_redis:
        return [wrong("REDIS_URL", "", f"must be set when AGENT_RELEASES_PATH is {IN_REDIS}")]
    return []
