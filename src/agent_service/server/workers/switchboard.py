"""Connects the workers: passes on what one asks of the others, and knows the numbers of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.core.clock import Clock
    from agent_service.core.siblings import Facts
    from agent_service.server.workers.channel import Message
    from agent_service.server.workers.totals import Totals

METRICS = "metrics"
"""The one question whose answers are merged: what a worker says of itself is kept for when it is gone."""


@dataclass(slots=True)
class _Round:
    """One question on its way through the workers; ``asker`` is None when nobody waits for the answers."""

    asker: int | None
    question: int
    what: str
    until_seconds: float
    asked: set[int]
    answers: list[Facts] = field(default_factory=list)


class Switchboard:
    """Takes messages of workers; decides what to send to whom. The workers are known by number.

    Args:
        clock: where time comes from.
        send: sends a message to a worker.
        totals: the numbers of all.
    """

    def __init__(self, *, clock: Clock, send: Callable[[int, Message], None], totals: Totals) -> None:
        self._clock = clock
        self._send = send
        self._totals = totals
        self._connected: set[int] = set()
        self._rounds: dict[int, _Round] = {}
        self._rounds_begun = 0

    def __repr__(self) -> str:
        return f"<Switchboard of {len(self._connected)} workers, {len(self._rounds)} questions open>"

    def connect(self, worker: int) -> None:
        """``worker`` serves, and is asked from now on."""
        self._connected.add(worker)

    def disconnect(self, worker: int) -> None:
        """``worker`` is gone; nobody waits for its answers, and what it counted is kept."""
        self._connected.discard(worker)
        self._totals.end(worker)
        for number, open_round in list(self._rounds.items()):
            if open_round.asker == worker:
                open_round.asker = None
            self._settle(number, worker)

    def hear(self, worker: int, message: Message) -> None:
        """One message of a worker, which is ``note``, ``ask`` or ``did``; others are passed over."""
        if "note" in message:
            self._totals.note(worker, message["note"])
        elif "ask" in message:
            self._begin(worker, message)
        elif "did" in message:
            self._take_answer(worker, message)

    def seconds_to_next(self) -> float | None:
        """When ``expire`` has something to do, or None."""
        ends = [open_round.until_seconds for open_round in self._rounds.values()]
        return max(0.0, min(ends) - self._clock.monotonic()) if ends else None

    def expire(self) -> None:
        """End the rounds whose time is over, with the answers that came."""
        now_seconds = self._clock.monotonic()
        for number, open_round in list(self._rounds.items()):
            if open_round.until_seconds <= now_seconds:
                self._end(number)

    def _begin(self, worker: int, message: Message) -> None:
        facts = message["facts"]
        if message["what"] == METRICS:
            self._totals.note(worker, facts)
            facts = {}
        others = self._connected - {worker}
        until_seconds = self._clock.monotonic() + message["within"]
        asker = worker if message["ask"] is not None else None
        self._rounds_begun += 1
        number = self._rounds_begun
        self._rounds[number] = _Round(asker, message["ask"] or 0, message["what"], until_seconds, others)
        for other in sorted(others):
            self._send(other, {"do": number, "what": message["what"], "facts": facts})
        self._settle(number, worker)

    def _take_answer(self, worker: int, message: Message) -> None:
        open_round = self._rounds.get(message["did"])
        if open_round is None:
            return
        if open_round.what == METRICS:
            self._totals.note(worker, message["facts"])
        open_round.answers.append(message["facts"])
        self._settle(message["did"], worker)

    def _settle(self, number: int, worker: int) -> None:
        """``worker`` is not waited for any more."""
        if number in self._rounds:
            self._rounds[number].asked.discard(worker)
            if not self._rounds[number].asked:
                self._end(number)

    def _end(self, number: int) -> None:
        ended = self._rounds.pop(number)
        if ended.asker is None:
            return
        facts: list[Any] = [self._totals.merged()] if ended.what == METRICS else ended.answers
        self._send(ended.asker, {"answer": ended.question, "facts": facts, "missing": len(ended.asked)})
