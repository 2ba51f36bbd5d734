"""Holds a run against N1 to N7 of docs/reliability.md, in the manner of Jepsen: by its history alone."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from bench.history_program import is_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.history_events import Conversation, History, Operation, Reading, Turn


class Violation(NamedTuple):
    """A rule by its name, and what broke it."""

    rule: str
    finding: str


def violations(history: History) -> list[Violation]:
    """Everything in ``history`` that was promised otherwise, in the order of the rules."""
    final = history.final[0]
    found = [*_of_operations(history.operations, final), *_of_not_stored(history)]
    for conversation, turns in final.items():
        own = {item.question: item for item in history.operations if item.conversation == conversation}
        readings = [reading for reading in history.readings if reading.conversation == conversation]
        found += _of_turns(conversation, turns, own, history.operations)
        found += _of_sequence(conversation, turns, own)
        found += _of_readings(turns, readings, own)
    found += _of_processes(history.final)
    return sorted(found)


def _of_operations(
    operations: Sequence[Operation], final: Mapping[Conversation, Sequence[Turn]]
) -> Iterator[Violation]:
    """N1, N2 and N4: how often each question is there, and with which answer."""
    kept: defaultdict[tuple[Conversation, str], list[Turn]] = defaultdict(list)
    for conversation, turns in final.items():
        for turn in turns:
            kept[conversation, turn.question].append(turn)
    for operation in operations:
        turns = kept[operation.conversation, operation.question]
        is_acked = operation.acked_seconds is not None
        if is_acked and not turns:
            yield Violation("N1", f"lost: {operation}")
        if len(turns) > 1:
            yield Violation("N1" if is_acked else "N2", f"there {len(turns)} times: {operation}")
        if is_acked and any(turn.answer not in operation.answers for turn in turns):
            yield Violation("N1", f"altered to {turns}: {operation}")
        if operation.key is not None and (len(turns) > 1 or len(set(operation.answers)) > 1):
            yield Violation("N4", f"one key ran twice, {turns}: {operation}")


def _of_turns(
    conversation: Conversation,
    turns: Sequence[Turn],
    own: Mapping[str, Operation],
    operations: Sequence[Operation],
) -> Iterator[Violation]:
    """N2 and N5: each turn is whole and of a question that was asked here."""
    strangers = [turn for turn in turns if turn.question not in own]
    asked_elsewhere = {operation.question for operation in operations} if strangers else set()
    for turn in strangers:
        rule = "N5" if turn.question in asked_elsewhere else "N2"
        yield Violation(rule, f"nobody asked this in {conversation}: {turn}")
    for turn in turns:
        if not is_answer(turn.question, turn.answer):
            yield Violation("N2", f"not whole, in {conversation}: {turn}")


def _of_sequence(
    conversation: Conversation, turns: Sequence[Turn], own: Mapping[str, Operation]
) -> Iterator[Violation]:
    """N3: no gaps, each where its caller was told, and behind what was acknowledged before it was sent."""
    latest_sent_seconds = 0.0
    for place, turn in enumerate(turns, start=1):
        if turn.seq != place:
            yield Violation("N3", f"place {place} of {conversation} has {turn}")
        operation = own.get(turn.question)
        if operation is None:
            continue
        if any(seq != turn.seq for seq in operation.seqs):
            yield Violation("N3", f"told {operation.seqs} and stored at {turn.seq}: {operation}")
        if operation.acked_seconds is not None and operation.acked_seconds < latest_sent_seconds:
            yield Violation("N3", f"behind one that was sent after its acknowledgement: {operation}")
        latest_sent_seconds = max(latest_sent_seconds, operation.sent_seconds)


def _of_readings(
    turns: Sequence[Turn], readings: Sequence[Reading], own: Mapping[str, Operation]
) -> Iterator[Violation]:
    """N6: who reads sees a part of the final history that ends no earlier than what they could know."""
    final = {turn.seq: turn for turn in turns}
    known = [(reading.ended_seconds, _last_seq(reading)) for reading in readings]
    for turn in turns:
        operation = own.get(turn.question)
        if operation is not None and operation.acked_seconds is not None:
            known.append((operation.acked_seconds, turn.seq))
    known.sort()
    place = newest = 0
    for reading in sorted(readings, key=lambda reading: reading.began_seconds):
        while place < len(known) and known[place][0] < reading.began_seconds:
            newest = max(newest, known[place][1])
            place += 1
        if _last_seq(reading) < newest:
            yield Violation("N6", f"{newest} was known, and {_last_seq(reading)} was read last: {reading}")
        if any(final.get(turn.seq) != turn for turn in reading.turns) or not _is_gapless(reading):
            yield Violation("N6", f"read, and not in the end: {reading}")


def _of_processes(final: Sequence[Mapping[Conversation, Sequence[Turn]]]) -> Iterator[Violation]:
    """N6: in the end, everybody shows the same."""
    for other in final[1:]:
        for conversation, turns in other.items():
            if turns != final[0][conversation]:
                yield Violation("N6", f"two processes show different histories of {conversation}")


def _of_not_stored(history: History) -> Iterator[Violation]:
    """N7: what callers were told is not stored was counted."""
    for life in history.not_stored:
        if life.said > life.counted:
            yield Violation("N7", f"more answers with stored: false than failed commits: {life}")


def _last_seq(reading: Reading) -> int:
    return reading.turns[-1].seq if reading.turns else 0


def _is_gapless(reading: Reading) -> bool:
    return all(
        after.seq == before.seq + 1 for before, after in zip(reading.turns, reading.turns[1:], strict=False)
    )
