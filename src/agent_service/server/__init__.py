"""Runs the service: the processes, their signals and their connections."""

from __future__ import annotations

import gc
from functools import partial
from typing import TYPE_CHECKING

from agent_service.server.process import ProcessOptions, serve
from agent_service.server.tls import TlsOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.config import Settings
    from agent_service.core.siblings import Siblings
    from agent_service.server.process import Service

__all__ = ["run", "run_workers"]

_ACCEPTS_ALONE = 16
"""Enough that a crowd of new connections is soon in; each costs an idle handle on the listener."""


def run(settings: Settings) -> int:
    """Serve with ``settings`` until SIGTERM or SIGINT; returns the exit status.

    0 after a stop that was asked for, 1 when the service could not start; the log says why. Call it in the
    main thread and end the process with the status: it does not outlive the call for long.
    """

    def build() -> Service:
        gc.disable()  # imports make hardly any garbage; once started, the service enables it again
        from agent_service import bootstrap  # noqa: PLC0415 - takes seconds, which a port in use should not

        return bootstrap.build(settings)

    return serve(build, host=settings.server_host, port=settings.server_port, options=_options(settings))


def run_workers(settings: Settings, *, load: Callable[[], Settings]) -> int:
    """Serve with ``settings.server_workers`` processes until SIGTERM or SIGINT; returns the exit status.

    SIGHUP replaces them one after the other. Each worker has the settings that ``load`` returns in it; host,
    port, TLS, the number of workers and how to stop stay those of ``settings``. ``load`` must be picklable.

    0 after a stop that was asked for, 1 when the workers could not be kept up; the log says why.
    """
    from agent_service.server.workers import supervise  # noqa: PLC0415 - a single process needs none of it
    from agent_service.server.workers.roster import RosterOptions  # noqa: PLC0415 - the same

    return supervise(
        partial(_build_worker, load),
        prepare=partial(_prepare, settings),
        host=settings.server_host,
        port=settings.server_port,
        options=_options(settings),
        roster=RosterOptions(settings.server_workers),
    )


def _options(settings: Settings) -> ProcessOptions:
    return ProcessOptions(
        grace_seconds=settings.shutdown_grace_secs,
        delay_seconds=settings.shutdown_delay_secs,
        tls=_tls_options(settings),
        accepts_at_once=_ACCEPTS_ALONE if settings.server_workers == 1 else 1,
    )


def _tls_options(settings: Settings) -> TlsOptions | None:
    certificate_file, key_file = settings.server_tls_cert_file, settings.server_tls_key_file
    if certificate_file is None or key_file is None:
        return None
    password = settings.server_tls_key_password
    return TlsOptions(
        certificate_file,
        key_file,
        key_password=password.get_secret_value() if password else None,
        client_ca_file=settings.server_tls_client_ca_file,
    )


def _prepare(settings: Settings) -> None:
    from agent_service import bootstrap  # noqa: PLC0415 - as above

    bootstrap.prepare(settings)


def _build_worker(load: Callable[[], Settings], siblings: Siblings) -> Service:
    from agent_service import bootstrap  # noqa: PLC0415 - as above; after a spawn it is new here

    return bootstrap.build(load(), siblings=siblings)
