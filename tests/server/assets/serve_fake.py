"""A small service served by the real process code. Behaviour by path, all told on standard output.

Usage: serve_fake.py HOST PORT GRACE_SECONDS [MODE]

MODE is slow-build, slow-start, failed-start, failed-part, broken-start, failed-build, late or very-late.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import TYPE_CHECKING

from agent_service.core.errors import MisconfiguredError
from agent_service.server.process import ProcessOptions, serve

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
HOST, PORT, GRACE_SECONDS, *MODE = sys.argv[1:]


def say(word: str) -> None:
    """One line on standard output."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class FakeService:
    """``/work`` and ``/stubborn`` are queries and end at ``/finish``.

    ``/block`` blocks a thread for ever, ``/flood`` answers much.
    """

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.finish = asyncio.Event()

    def withdraw(self) -> None:
        """Not ready any more."""
        say("withdrawn")

    def begin_drain(self) -> None:
        """Refuse queries."""
        self.draining = True
        say("draining")

    async def drained(self, grace_seconds: float) -> None:
        """Wait for the queries."""
        if self.in_flight:
            self.idle.clear()
            await asyncio.wait([asyncio.ensure_future(self.idle.wait())], timeout=grace_seconds)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the service."""
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        status = 200
        if scope["path"] == "/finish":
            self.finish.set()
        elif self.draining:
            status = 503
        elif scope["path"] == "/block":
            threading.Thread(target=threading.Event().wait, name="blocked-tool").start()
        elif scope["path"] in {"/work", "/stubborn"}:
            await self.query(scope["path"])
        body = b"a" * 50_000_000 if scope["path"] == "/flood" else b""
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def query(self, path: str) -> None:
        """One query; a stubborn one takes its time to clean up."""
        self.in_flight += 1
        say("working")
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            if path == "/stubborn":
                await asyncio.sleep(0.3)
            say("cleaned up")
            raise
        finally:
            self.in_flight -= 1
            self.idle.set()

    async def live(self, receive: Receive, send: Send) -> None:
        """From start to stop."""
        await receive()
        say("starting")
        try:
            await self.start()
        except asyncio.CancelledError:
            say("start undone")
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("stopped")
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Start as the mode says."""
        if MODE == ["slow-start"]:
            await asyncio.Event().wait()
        if MODE == ["failed-start"]:
            raise MisconfiguredError("The program cannot be served.")
        if MODE == ["failed-part"]:
            cause = MisconfiguredError("/data/file is damaged.")
            raise MisconfiguredError("A part cannot be opened.") from cause
        if MODE == ["broken-start"]:
            raise RuntimeError("a bug")


def build() -> FakeService:
    """What ``serve`` builds."""
    if MODE == ["slow-build"]:
        say("building")
        threading.Event().wait()
    if MODE == ["failed-build"]:
        raise MisconfiguredError("The program cannot be served.")
    return FakeService()


DELAYS_SECONDS = {"late": 1.0, "very-late": 60.0}
OPTIONS = ProcessOptions(
    grace_seconds=float(GRACE_SECONDS), delay_seconds=DELAYS_SECONDS.get("".join(MODE), 0.0)
)
sys.exit(serve(build, host=HOST, port=int(PORT), options=OPTIONS))
