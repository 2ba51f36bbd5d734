from __future__ import annotations

import json

from agent_service.api.streams.presentation import LastEvents
from agent_service.core.errors import PoolExhaustedError
from agent_service.core.messages import Answer, ConversationId, Query, Usage


def test_the_last_event_is_one_line_of_json() -> None:
    """A line break in an answer would forge an event."""
    query = Query("r1", ConversationId("ada"), "two\nlines\r\n")
    answer = Answer(query, "a\n\nevent: x\r", "m", 0, (), Usage(), 0.1, stored=True)
    written = LastEvents().answer(answer)

    assert not set(written) & set("\r\n")
    assert json.loads(written)["answer"] == "a\n\nevent: x\r"


def test_an_error_is_its_problem_document() -> None:
    """The same that the plain endpoint answers with."""
    problem = json.loads(LastEvents().problem(PoolExhaustedError(), "r1"))

    assert (problem["error"], problem["status"], problem["request_id"]) == ("pool_exhausted", 503, "r1")
