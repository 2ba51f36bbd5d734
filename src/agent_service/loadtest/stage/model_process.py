"""One process of the simulated model: ``python -m agent_service.loadtest.stage.model_process PORT LATENCY``.

Several share a port. It answers each line on its input with the count of LM calls it has seen, and ends
with its input, so that it does not outlive a load test that was killed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import uvloop

from agent_service.simulator.server import Behaviour, create_simulator, serve

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Counted:
    """An application whose requests are counted."""

    def __init__(self, app: ASGIApp) -> None:
        self.count = 0
        self._app = app

    def __repr__(self) -> str:
        return f"Counted({self.count})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count and pass on."""
        self.count += 1
        await self._app(scope, receive, send)


async def serve_model(port: int, latency_seconds: float) -> None:
    """Serve until the input ends.

    Raises:
        OSError: when the port cannot be listened on.
        ValueError: for a latency that is not allowed.
    """
    model = Counted(create_simulator(behaviour=Behaviour(latency_seconds=latency_seconds)))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with serve(model, port=port, reuse_port=True) as base_url:
        print(base_url, flush=True)  # noqa: T201 - its output is its interface
        while await lines.readline():
            print(model.count, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    uvloop.run(serve_model(int(sys.argv[1]), float(sys.argv[2])))
