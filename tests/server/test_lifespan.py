from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.server.lifespan import Lifespan, LifespanError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class App:
    """Starts and stops as told and notes how far it came."""

    def __init__(self, *, fails_at: str = "", raises: bool = False, hangs: bool = False) -> None:
        self.steps: list[str] = []
        self.hanging = asyncio.Event()
        self._fails_at = fails_at
        self._raises = raises
        self._hangs = hangs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The lifespan protocol."""
        assert scope["type"] == "lifespan"
        try:
            await self._step("startup", receive, send)
            await self._step("shutdown", receive, send)
        finally:
            self.steps.append("unwound")

    async def _step(self, name: str, receive: Receive, send: Send) -> None:
        message = await receive()
        self.steps.append(message["type"])
        if self._hangs:
            self.hanging.set()
            await asyncio.Event().wait()
        failed = name == self._fails_at
        await send({"type": f"lifespan.{name}.{'failed' if failed else 'complete'}", "message": "secret"})
        if failed and self._raises:
            raise RuntimeError(name)


async def test_it_starts_and_stops_in_order() -> None:
    """Start returns when the application is up, stop when it is gone; another stop does nothing."""
    app = App()
    lifespan = Lifespan(app)
    await lifespan.start()
    assert (app.steps, repr(lifespan)) == (["lifespan.startup"], "<Lifespan alive>")
    await lifespan.stop()
    await lifespan.stop()
    assert app.steps == ["lifespan.startup", "lifespan.shutdown", "unwound"]
    assert repr(lifespan) == "<Lifespan ended>"


async def test_what_the_application_raised_is_raised() -> None:
    """The cause of a failure is the application's own error, not a report of it."""
    with pytest.raises(RuntimeError, match="startup"):
        await Lifespan(App(fails_at="startup", raises=True)).start()
    lifespan = Lifespan(App(fails_at="shutdown", raises=True))
    await lifespan.start()
    with pytest.raises(RuntimeError, match="shutdown"):
        await lifespan.stop()


async def test_a_cancelled_start_is_undone() -> None:
    """When the start is cancelled the application has unwound before the cancellation is over."""
    app = App(hangs=True)
    starting = asyncio.create_task(Lifespan(app).start())
    await app.hanging.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert app.steps[-1] == "unwound"


async def test_a_start_that_only_ends_is_a_failure() -> None:
    """An application without a lifespan cannot be served: nobody would know whether it is up."""

    async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
        """No lifespan."""

    with pytest.raises(LifespanError, match="did not complete its startup"):
        await Lifespan(returns_at_once).start()
