"""What was promised to callers, held against what the service remembers at the end."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TOKEN = re.compile(r"My token is (user-\d+) (\d+)\.")


@dataclass(slots=True)
class _Entry:
    """A query that was sent; the rest is known once its answer was read to the end."""

    question: str
    sent_seconds: float
    answer: str | None = None
    acked_seconds: float | None = None


class Ledger:
    """Every query that may have reached the program, and whether its turn was acknowledged as stored."""

    def __init__(self) -> None:
        self.not_stored = 0
        self._users: dict[str, dict[int, _Entry]] = {}

    def __repr__(self) -> str:
        return f"<Ledger of {len(self._users)} users>"

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Everybody who asked."""
        return tuple(self._users)

    def sent(self, number: int, user_id: str, question: str, at_seconds: float) -> None:
        """Note a query before its first byte is sent."""
        self._users.setdefault(user_id, {})[number] = _Entry(question, at_seconds)

    def answered(self, number: int, answer: dict[str, Any], at_seconds: float) -> None:
        """Note an answer that was read whole."""
        if not answer["stored"]:
            self.not_stored += 1
            return
        entry = self._users[answer["user_id"]][number]
        entry.answer, entry.acked_seconds = answer["answer"], at_seconds

    def findings(self, user_id: str, turns: Sequence[dict[str, Any]]) -> Counter[str]:
        """Hold a user's whole history, oldest turn first, against what was sent and acknowledged."""
        sent = self._users[user_id]
        acked = {number for number, entry in sent.items() if entry.acked_seconds is not None}
        numbers = [number for turn in turns if (number := _number(turn, user_id)) in sent]
        return Counter(
            {
                "acknowledged": len(acked),
                "turns": len(turns),
                "missing": len(acked - set(numbers)),
                "doubled": len(numbers) - len(set(numbers)),
                "foreign": len(turns) - len(numbers),
                "altered": sum(_is_altered(turn, sent.get(_number(turn, user_id))) for turn in turns),
                "gaps": sum(turn["seq"] != place for place, turn in enumerate(turns, start=1)),
                "out of order": _out_of_order([sent[number] for number in numbers]),
            }
        )


def _number(turn: dict[str, Any], user_id: str) -> int:
    """Which query a turn is of; -1 when it is none of this user's."""
    found = _TOKEN.search(turn["question"])
    return int(found[2]) if found and found[1] == user_id else -1


def _is_altered(turn: dict[str, Any], entry: _Entry | None) -> bool:
    """Whether question or answer differ from what the caller sent and read."""
    if entry is None:
        return False
    return turn["question"] != entry.question or entry.answer not in {None, turn["answer"]}


def _out_of_order(entries: Iterable[_Entry]) -> int:
    """Turns that were acknowledged before one that stands earlier in the history was even sent."""
    latest_sent_seconds, wrong = 0.0, 0
    for entry in entries:
        wrong += entry.acked_seconds is not None and entry.acked_seconds < latest_sent_seconds
        latest_sent_seconds = max(latest_sent_seconds, entry.sent_seconds)
    return wrong
