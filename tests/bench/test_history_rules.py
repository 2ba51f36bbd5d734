"""The checker itself: a sound run passes, and each way to break a promise is reported by its rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.history_events import Conversation, History, NotStored, Operation, Reading, Turn
from bench.history_rules import violations

if TYPE_CHECKING:
    from collections.abc import Callable

ADA, BEN = Conversation("ada", "default"), Conversation("ben", "default")


def _answer(question: str, run: int = 0) -> str:
    return f"{question} / run {run:032x}"


def _turn(seq: int, question: str) -> Turn:
    return Turn(seq, f"id of {question}", question, _answer(question))


def _asked(question: str, *, sent: float, acked: float | None, key: str | None = None) -> Operation:
    answers = [] if acked is None else [_answer(question)]
    return Operation(ADA, question, sent, key=key, answers=answers, acked_seconds=acked)


def _sound() -> History:
    """Questions of each kind: acknowledged, stored without, acknowledged under a key, and not stored."""
    turns = tuple(_turn(seq, question) for seq, question in enumerate(("one", "two", "three"), start=1))
    other = Operation(BEN, "four", 1.0, answers=[_answer("four")], acked_seconds=2.0)
    return History(
        operations=[
            _asked("one", sent=1.0, acked=2.0),
            _asked("two", sent=3.0, acked=None),
            _asked("three", sent=4.0, acked=6.0, key="k"),
            _asked("five", sent=5.0, acked=None),
            other,
        ],
        readings=[Reading(ADA, 2.5, 2.6, turns[:1]), Reading(ADA, 4.5, 4.6, turns[:2])],
        not_stored=[NotStored(said=1, counted=2)],
        final=[{ADA: turns, BEN: (_turn(1, "four"),)} for _ in range(2)],
    )


def _show(history: History, *turns: Turn) -> None:
    for final in history.final:
        final[ADA] = turns


def _loses(history: History) -> None:
    history.readings = []
    _show(history, _turn(1, "two"), _turn(2, "three"))


def _doubles(history: History) -> None:
    _show(history, *history.final[0][ADA], _turn(4, "one"))


def _alters(history: History) -> None:
    history.readings = []
    one, *others = history.final[0][ADA]
    _show(history, one._replace(answer=_answer("one", run=7)), *others)


def _doubles_unacknowledged(history: History) -> None:
    _show(history, *history.final[0][ADA], _turn(4, "two"))


def _tears(history: History) -> None:
    history.readings = []
    one, two, three = history.final[0][ADA]
    _show(history, one, two._replace(answer=two.answer[:-1]), three)


def _invents(history: History) -> None:
    _show(history, *history.final[0][ADA], _turn(4, "never asked"))


def _leaves_a_gap(history: History) -> None:
    *others, three = history.final[0][ADA]
    _show(history, *others, three._replace(seq=4))


def _tells_another_place(history: History) -> None:
    history.operations[0].seqs.append(2)


def _reorders(history: History) -> None:
    history.readings = []
    _show(history, _turn(1, "two"), _turn(2, "one"), _turn(3, "three"))


def _doubles_a_key(history: History) -> None:
    _show(history, *history.final[0][ADA], _turn(4, "three"))


def _answers_a_key_anew(history: History) -> None:
    history.operations[2].answers.append(_answer("three", run=7))


def _mixes_users(history: History) -> None:
    _show(history, *history.final[0][ADA], _turn(4, "four"))


def _forgets_what_was_read(history: History) -> None:
    history.readings.append(replace(history.readings[0], began_seconds=5.0, ended_seconds=5.1))


def _hides_what_was_acknowledged(history: History) -> None:
    history.readings = [Reading(ADA, 7.0, 7.1, history.final[0][ADA][:2])]


def _shows_what_vanishes(history: History) -> None:
    history.readings.append(Reading(ADA, 7.0, 7.1, (*history.final[0][ADA], _turn(4, "five"))))


def _skips_a_turn(history: History) -> None:
    one, _, three = history.final[0][ADA]
    history.readings.append(Reading(ADA, 7.0, 7.1, (one, three)))


def _disagrees(history: History) -> None:
    history.final[1][ADA] = history.final[0][ADA][:2]


def _does_not_count(history: History) -> None:
    history.not_stored.append(NotStored(said=3, counted=2))


def test_a_sound_run_has_no_violation() -> None:
    """Outcomes that callers do not know, stored or not, are no violation, nor is counting more than said."""
    assert violations(_sound()) == []


@pytest.mark.parametrize(
    ("spoil", "rules"),
    [
        (_loses, {"N1"}),
        (_doubles, {"N1", "N3", "N6"}),
        (_alters, {"N1"}),
        (_doubles_unacknowledged, {"N2"}),
        (_tears, {"N2"}),
        (_invents, {"N2"}),
        (_leaves_a_gap, {"N3"}),
        (_tells_another_place, {"N3"}),
        (_reorders, {"N3"}),
        (_doubles_a_key, {"N1", "N4"}),
        (_answers_a_key_anew, {"N4"}),
        (_mixes_users, {"N5"}),
        (_forgets_what_was_read, {"N6"}),
        (_hides_what_was_acknowledged, {"N6"}),
        (_shows_what_vanishes, {"N6"}),
        (_skips_a_turn, {"N6"}),
        (_disagrees, {"N6"}),
        (_does_not_count, {"N7"}),
    ],
)
def test_each_broken_promise_is_reported(spoil: Callable[[History], None], rules: set[str]) -> None:
    """A run that broke a rule, and kept the others, is reported under that rule."""
    history = _sound()
    spoil(history)
    assert {violation.rule for violation in violations(history)} == rules
