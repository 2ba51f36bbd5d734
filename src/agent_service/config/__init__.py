"""Settings: read once from the environment, validated whole, frozen."""

from agent_service.config.settings import Settings
from agent_service.config.sources import SettingsError

__all__ = ["Settings", "SettingsError"]
