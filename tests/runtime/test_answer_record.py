"""An answer kept as bytes comes back equal."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.messages import Answer, ConversationId, Query, Usage
from agent_service.runtime.answer_record import read_answer, written_answer

QUERY = Query("first", ConversationId("ada"), "2+2?", turn_id="t", idempotency_key="k")
ANSWER = Answer(
    query=QUERY,
    text="4",
    model="m",
    reasoning_steps=2,
    tools_used=("calculator", "clock"),
    usage=Usage(10, 5, 2),
    latency_seconds=0.1234567,
    stored=True,
    degraded=("memory",),
    seq=3,
    program_version="v1",
)


@given(text=st.text(), latency_seconds=st.floats(0, 1e6), seq=st.none() | st.integers(1))
def test_what_is_read_is_what_was_written(text: str, latency_seconds: float, seq: int | None) -> None:
    """Every field, exactly, so that the repeated response is the same to the byte."""
    answer = replace(ANSWER, text=text, latency_seconds=latency_seconds, seq=seq)
    assert read_answer(written_answer(answer), replace(QUERY, request_id="second")) == answer


def test_question_and_ids_are_not_kept_again() -> None:
    """Who reads has the same query, by its fingerprint; the record need not hold it."""
    record = written_answer(ANSWER).decode()
    assert "2+2?" not in record
    assert "ada" not in record


def test_a_newer_version_s_record_can_be_read() -> None:
    """Replicas are updated one by one and share one store."""
    record = json.loads(written_answer(ANSWER)) | {"mood": "fine"}
    assert read_answer(json.dumps(record).encode(), QUERY) == ANSWER
