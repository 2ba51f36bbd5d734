"""A small service served by several real workers. All is told on standard output.

Usage: supervise_fake.py SIZE START_METHOD
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from agent_service.core.siblings import ALONE
from agent_service.server.process import ProcessOptions
from agent_service.server.workers import supervise
from agent_service.server.workers.roster import RosterOptions

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from agent_service.core.siblings import Facts, Siblings

_log = logging.getLogger(__name__)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(process)d: %(message)s")


class FakeService:
    """``/pids`` answers with the process that has it and, after it, its siblings; it is no query."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings
        siblings.answer_with("pid", self.tell_pid)

    async def tell_pid(self, _: Facts) -> Facts:
        """Answer a sibling."""
        return {"pid": os.getpid()}

    def withdraw(self) -> None:
        """Nothing to tell."""

    def begin_drain(self) -> None:
        """Nothing to refuse."""

    async def drained(self, grace_seconds: float) -> None:
        """Nothing to wait for."""

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the service."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        answers = await self._siblings.ask("pid", {}, within_seconds=1.0)
        body = json.dumps([os.getpid(), *(answer["pid"] for answer in answers.facts)]).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def build(siblings: Siblings = ALONE) -> FakeService:
    """What each worker serves."""
    return FakeService(siblings)


if __name__ == "__main__":
    sys.exit(
        supervise(
            build,
            prepare=lambda: _log.info("prepared"),
            host="127.0.0.1",
            port=0,
            options=ProcessOptions(grace_seconds=5.0),
            roster=RosterOptions(int(sys.argv[1])),
            start_method=sys.argv[2],
        )
    )
