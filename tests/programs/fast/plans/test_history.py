"""A conversation is written as DSPy writes it, and each turn that cannot change is written once."""

from __future__ import annotations

import gc
from typing import Any

import dspy
import pytest

from agent_service.programs.fast.lm_internals import AdapterKind, canonical_messages
from agent_service.programs.fast.plans.history import ToldHistory

CHAT = dspy.Signature("history: dspy.History, question -> answer")
SHOWN = CHAT.delete("history")
KINDS = [AdapterKind(), AdapterKind(dspy.JSONAdapter, calls_natively=True)]


class Counting(dspy.ChatAdapter):  # type: ignore[misc] # DSPy has no types
    """Counts what it writes."""

    written = 0

    def format_conversation_history(self, *args: Any, **kwargs: Any) -> Any:
        self.written += 1
        return super().format_conversation_history(*args, **kwargs)


def told_by(adapter: dspy.Adapter) -> ToldHistory:
    """What is under test."""
    return ToldHistory(adapter, SHOWN.input_fields, SHOWN.output_fields)


def turn(number: int, answer: Any = "a") -> dict[str, Any]:
    """A turn of a conversation."""
    return {"question": f"{number}?", "answer": answer}


@pytest.mark.parametrize("kind", KINDS)
def test_the_messages_are_those_of_the_adapter(kind: AdapterKind) -> None:
    """Whatever a turn has and lacks."""
    history = dspy.History(messages=[turn(1), {"question": "2?"}, {"answer": ["x"]}, {}])
    rows = kind.make().format_conversation_history(SHOWN, "history", {"history": history})
    assert told_by(kind.make()).messages(history, "m") == list(canonical_messages(rows, "m"))


def test_a_turn_is_written_once() -> None:
    """Unless one of its values was exchanged, or may have changed in itself."""
    adapter = Counting()
    told, history = told_by(adapter), dspy.History(messages=[turn(1), turn(2, ["may change"])])
    for _ in range(3):
        told.messages(history, "m")
    assert adapter.written == 1 + 3
    history.messages[0]["answer"] = "other"
    messages = told.messages(history, "m")
    assert adapter.written == 1 + 3 + 2
    assert messages is not None
    assert "other" in messages[1].parts[0].text


def test_what_is_remembered_goes_with_the_conversation() -> None:
    """And with its turns, however many come and go."""
    told, history = told_by(dspy.ChatAdapter()), dspy.History(messages=[])
    for number in range(20):
        history.messages[:] = [turn(number)]
        told.messages(history, "m")
    assert len(told._turns(history)) <= 3  # noqa: SLF001 - what is remembered shows nowhere else
    del history
    gc.collect()
    assert told._known == {}  # noqa: SLF001 - the same


@pytest.mark.parametrize(
    "history",
    [
        None,
        [turn(1)],
        dspy.History(messages=[turn(1, "\ud800")]),
        dspy.History(messages=[turn(1, dspy.Image(url="https://example.org/a.png"))]),
        dspy.History(messages=[{"question": "q", "calls": {"tool_calls": 5}}]),
    ],
)
def test_what_is_wrong_with_a_conversation_is_dspys_to_say(history: Any) -> None:
    """And so is what is more than text."""
    assert told_by(dspy.ChatAdapter()).messages(history, "m") is None
