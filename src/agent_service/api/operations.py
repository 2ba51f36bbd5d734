"""What operators and orchestrators ask: health, probes, metrics, info, and the breaker's reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from agent_service.api.operation_schemas import BreakerReset, Health, Info, Live, NotReady, Ready

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pydantic import BaseModel
    from starlette.requests import Request

    from agent_service.runtime.base import Vitals


class Operations:
    """The operational endpoints. None of them waits behind queries.

    Args:
        vitals: how the service is.
        expose_metrics: the metrics' text and its content type, for an ``Accept`` header.
        endpoints: method and path of each endpoint, for ``info``.
    """

    def __init__(
        self,
        *,
        vitals: Vitals,
        expose_metrics: Callable[[str], Awaitable[tuple[bytes, str]]],
        endpoints: Sequence[str],
    ) -> None:
        self._vitals = vitals
        self._expose_metrics = expose_metrics
        self._endpoints = endpoints

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """200 while queries can be answered, 503 when they cannot."""
        report = await self._vitals.health()
        body = Health(
            status=report.status,
            version=report.version,
            uptime_seconds=report.uptime_seconds,
            agent_pool_size=report.agent_pool_size,
            circuit_breaker_state=report.circuit_breaker_state,
            model=report.model,
            checks=dict(report.checks),
        )
        return _json(body, status=503 if report.status == "unhealthy" else 200)

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """Always 200: that it answers is the answer."""
        return _json(Live())

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """200 when queries should be sent here, else 503 with the reason."""
        reason = self._vitals.not_ready_because()
        return _json(Ready()) if reason is None else _json(NotReady(reason=reason), status=503)

    async def metrics(self, request: Request) -> Response:
        """The exposition for Prometheus, as OpenMetrics when that is asked for."""
        text, content_type = await self._expose_metrics(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    async def info(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """What runs here."""
        info = self._vitals.info()
        body = Info(
            name=info.name,
            version=info.version,
            program=info.program,
            programs=list(info.programs),
            model=info.model,
            endpoints=list(self._endpoints),
        )
        return _json(body)

    async def reset_circuit_breaker(self, request: Request) -> Response:  # noqa: ARG002 - as above
        """Close the breaker by hand."""
        return _json(BreakerReset(circuit_breaker_state=self._vitals.reset_circuit_breaker()))


def _json(body: BaseModel, *, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status_code=status, media_type="application/json")
