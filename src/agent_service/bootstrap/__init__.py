"""The composition root: from settings to a wired service. The only room that names concrete classes."""

from agent_service.bootstrap.service import Service, build, prepare

__all__ = ["Service", "build", "prepare"]
