from __future__ import annotations

from typing import Any

import pytest

from agent_service.server.workers.switchboard import Switchboard
from agent_service.server.workers.totals import Totals
from agent_service.testing import FakeClock


class Exchange:
    """A switchboard with three workers, and what it sent."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.totals = Totals()
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self.board = Switchboard(
            clock=self.clock, send=lambda to, message: self.sent.append((to, message)), totals=self.totals
        )
        for worker in (1, 2, 3):
            self.board.connect(worker)

    def ask(self, worker: int, question: int | None, what: str = "erase", **facts: Any) -> int:
        """One worker asks; returns the number under which the others were."""
        self.board.hear(worker, {"ask": question, "what": what, "facts": facts, "within": 2.0})
        return int(next(message["do"] for _, message in reversed(self.sent) if "do" in message))

    def told(self, worker: int) -> list[dict[str, Any]]:
        """What one worker was told, which is forgotten then."""
        told = [message for to, message in self.sent if to == worker]
        self.sent = [(to, message) for to, message in self.sent if to != worker]
        return told


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def counted(value: float) -> dict[str, Any]:
    """A snapshot with one counter."""
    families = [{"name": "q", "help": "", "type": "counter", "merge": "sum", "samples": [["q", {}, value]]}]
    return {"families": families}


def test_a_question_goes_to_all_others_and_their_answers_come_back(exchange: Exchange) -> None:
    """The asker hears once, when the last has answered."""
    number = exchange.ask(1, 7, user="ada")
    assert exchange.told(2) == [{"do": number, "what": "erase", "facts": {"user": "ada"}}]
    assert exchange.told(3) == [{"do": number, "what": "erase", "facts": {"user": "ada"}}]
    exchange.board.hear(2, {"did": number, "facts": {"ok": 2}})
    assert exchange.told(1) == []
    exchange.board.hear(3, {"did": number, "facts": {"ok": 3}})
    assert exchange.told(1) == [{"answer": 7, "facts": [{"ok": 2}, {"ok": 3}], "missing": 0}]


def test_time_ends_a_round_with_what_there_is(exchange: Exchange) -> None:
    """Who has not answered is counted as missing; a late answer is passed over."""
    number = exchange.ask(1, 7)
    exchange.board.hear(2, {"did": number, "facts": {"ok": 2}})
    exchange.clock.advance(1.5)
    exchange.board.expire()
    assert exchange.told(1) == []
    assert exchange.board.seconds_to_next() == 0.5
    exchange.clock.advance(0.5)
    exchange.board.expire()
    assert exchange.told(1) == [{"answer": 7, "facts": [{"ok": 2}], "missing": 1}]
    exchange.board.hear(3, {"did": number, "facts": {"ok": 3}})
    assert exchange.told(1) == []
    assert exchange.board.seconds_to_next() is None


def test_who_ends_is_not_waited_for_and_not_answered(exchange: Exchange) -> None:
    """Neither a sibling that dies nor an asker that dies keeps a round open."""
    number = exchange.ask(1, 7)
    exchange.board.disconnect(2)
    exchange.board.hear(3, {"did": number, "facts": {}})
    assert exchange.told(1) == [{"answer": 7, "facts": [{}], "missing": 0}]
    exchange.ask(1, 8)
    exchange.board.disconnect(1)
    exchange.board.disconnect(3)
    assert exchange.told(1) == []
    assert exchange.board.seconds_to_next() is None


def test_the_last_worker_is_answered_at_once(exchange: Exchange) -> None:
    """Without siblings there is nobody to wait for."""
    exchange.board.disconnect(2)
    exchange.board.disconnect(3)
    exchange.board.hear(1, {"ask": 7, "what": "erase", "facts": {}, "within": 2.0})
    assert exchange.told(1) == [{"answer": 7, "facts": [], "missing": 0}]


def test_a_post_reaches_all_and_is_not_answered(exchange: Exchange) -> None:
    """Nobody waits for it."""
    number = exchange.ask(1, None)
    assert len(exchange.told(2)) == len(exchange.told(3)) == 1
    for worker in (2, 3):
        exchange.board.hear(worker, {"did": number, "facts": {}})
    assert exchange.told(1) == []


def test_metrics_are_answered_with_one_snapshot_of_all(exchange: Exchange) -> None:
    """The asker's own numbers, those of who answers, and the last known of who does not."""
    exchange.board.hear(3, {"note": counted(100)})
    number = exchange.ask(1, 7, "metrics", **counted(1))
    assert exchange.told(2) == [{"do": number, "what": "metrics", "facts": {}}]
    exchange.board.hear(2, {"did": number, "facts": counted(10)})
    exchange.clock.advance(2.0)
    exchange.board.expire()
    assert exchange.told(1) == [{"answer": 7, "facts": [counted(111)], "missing": 1}]


def test_what_an_ended_worker_counted_is_kept(exchange: Exchange) -> None:
    """The sums of all go on."""
    exchange.board.hear(3, {"note": counted(100)})
    exchange.board.disconnect(3)
    number = exchange.ask(1, 7, "metrics", **counted(1))
    exchange.board.hear(2, {"did": number, "facts": counted(10)})
    assert exchange.told(1) == [{"answer": 7, "facts": [counted(111)], "missing": 0}]
