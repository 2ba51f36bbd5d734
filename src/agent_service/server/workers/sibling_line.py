"""A worker's line to its siblings and to the supervisor, which is at the other end."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

from agent_service.core.clock import wait_at_most
from agent_service.core.siblings import Answers, Deed, Facts, SiblingsSilentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.core.clock import Clock
    from agent_service.server.workers.channel import Channel, Message

_log = logging.getLogger("agent_service.server")

_ROUND_TRIP_SECONDS = 1.0
"""For the supervisor's own part in a question."""

_POST_SECONDS = 30.0


class SiblingLine:
    """``Siblings`` over a channel; and the orders of the supervisor, who is told what this worker does.

    Args:
        channel: to the supervisor.
        clock: where time comes from.
    """

    are_there = True

    def __init__(self, channel: Channel, *, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._deeds: dict[str, Deed] = {}
        self._questions = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answers]] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._obey: Callable[[str], None] | None = None
        self._writes = False

    def __repr__(self) -> str:
        return f"<SiblingLine over {self._channel!r}, {len(self._waiting)} questions open>"

    def open(self, obey: Callable[[str], None]) -> None:
        """Listen on the running loop; ``obey`` gets the orders, and ``orphaned`` when the supervisor ends."""
        self._obey = obey
        asyncio.get_running_loop().add_reader(self._channel, self._read)

    def report(self, what: str) -> None:
        """Tell the supervisor what this worker does."""
        self._send({"report": what})

    def answer_with(self, what: str, deed: Deed) -> None:
        """See ``Siblings``."""
        self._deeds[what] = deed

    async def ask(self, what: str, facts: Facts, *, within_seconds: float) -> Answers:
        """See ``Siblings``."""
        question = next(self._questions)
        answered: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self._waiting[question] = answered
        try:
            self._send({"ask": question, "what": what, "facts": facts, "within": within_seconds})
            if not await wait_at_most(self._clock, within_seconds + _ROUND_TRIP_SECONDS, answered):
                raise SiblingsSilentError
            return answered.result()
        finally:
            del self._waiting[question]

    def post(self, what: str, facts: Facts) -> None:
        """See ``Siblings``."""
        self._send({"ask": None, "what": what, "facts": facts, "within": _POST_SECONDS})

    def note(self, facts: Facts) -> None:
        """See ``Siblings``. A supervisor that does not read gets no further notes until it does."""
        if not self._channel.has_unsent:
            self._send({"note": facts})

    def _send(self, message: Message) -> None:
        self._channel.send(message)
        self._write_on()

    def _write_on(self) -> None:
        """Have the loop write what is left, as long as something is."""
        self._channel.flush()
        loop = asyncio.get_running_loop()
        if self._channel.has_unsent and not self._writes:
            loop.add_writer(self._channel, self._write_on)
        elif self._writes and not self._channel.has_unsent:
            loop.remove_writer(self._channel)
        self._writes = self._channel.has_unsent

    def _read(self) -> None:
        for message in self._channel.receive():
            self._hear(message)
        if not self._channel.is_open:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._order("orphaned")

    def _hear(self, message: Message) -> None:
        if "order" in message:
            self._order(message["order"])
        elif "do" in message:
            doing = asyncio.get_running_loop().create_task(self._do(message))
            self._doing.add(doing)
            doing.add_done_callback(self._doing.discard)
        elif (answered := self._waiting.get(message["answer"])) is not None and not answered.done():
            answered.set_result(Answers(tuple(message["facts"]), message["missing"]))

    def _order(self, order: str) -> None:
        if self._obey is not None:
            self._obey(order)

    async def _do(self, message: Message) -> None:
        """Do what a sibling asked for. Who fails does not answer: the sibling counts it as missing."""
        try:
            facts: Any = await self._deeds[message["what"]](message["facts"])
        except Exception:  # noqa: BLE001 - whatever it was, the sibling goes on without this answer
            _log.exception("what another worker asked for failed: %s", message["what"])
            return
        self._send({"did": message["do"], "facts": facts})
