"""The ASGI lifespan of an application, driven by us.

Uvicorn's own driver stops the application while cancelled requests still run, and not at all when the exit is
forced; an application that keeps promises to its requests needs the other order.
Source: ASGI specification, lifespan protocol 2.0.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message


class LifespanError(Exception):
    """The application said that it could not start or stop, without raising."""


class Lifespan:
    """Starts and stops one application, once. Its lifespan state is not passed on to requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._reports: asyncio.Queue[Message] = asyncio.Queue()
        self._living: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        if self._living is None:
            return "<Lifespan not started>"
        return f"<Lifespan {'ended' if self._living.done() else 'alive'}>"

    async def start(self) -> None:
        """Return when the application is up; cancelling ends it again, in order.

        Raises:
            LifespanError: the application reported a failure.
            Exception: whatever the application raised instead.
        """
        self._living = asyncio.create_task(self._live())
        try:
            await self._carry_out("startup", self._living)
        except asyncio.CancelledError:
            self._living.cancel()
            await asyncio.wait({self._living})
            raise

    async def stop(self) -> None:
        """Return when the application is down. Harmless when it never started or has ended.

        Raises:
            LifespanError: the application reported a failure.
            Exception: whatever the application raised instead.
        """
        if self._living is not None and not self._living.done():
            await self._carry_out("shutdown", self._living)
            await self._living

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        await self._app(scope, self._orders.get, self._reports.put)

    async def _carry_out(self, order: str, living: asyncio.Task[None]) -> None:
        self._orders.put_nowait({"type": f"lifespan.{order}"})
        reporting = asyncio.create_task(self._reports.get())
        try:
            await asyncio.wait({reporting, living}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reporting.cancel()
        if reporting.done() and reporting.result()["type"] == f"lifespan.{order}.complete":
            return
        await living
        raise LifespanError(f"the application did not complete its {order}")
