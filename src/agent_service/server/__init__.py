"""Runs the service: the process, its signals and its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.server.process import ProcessOptions, serve

if TYPE_CHECKING:
    from agent_service.config import Settings
    from agent_service.server.process import Service

__all__ = ["run"]


def run(settings: Settings) -> int:
    """Serve with ``settings`` until SIGTERM or SIGINT; returns the exit status.

    0 after a stop that was asked for, 1 when the service could not start; the log says why. Call it in the
    main thread and end the process with the status: it does not outlive the call for long.
    """

    def build() -> Service:
        from agent_service import bootstrap  # noqa: PLC0415 - takes seconds, which a port in use should not

        return bootstrap.build(settings)

    return serve(
        build,
        host=settings.server_host,
        port=settings.server_port,
        options=ProcessOptions(grace_seconds=settings.shutdown_grace_secs),
    )
