"""What a query and its answer say in a conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent_service.core.messages import ConversationId, Inputs, Query
from agent_service.programs.base import ProgramReply
from agent_service.runtime.said import answer_of, inputs_of, outputs_of, text_of
from agent_service.testing import ScriptedProgram

PLAIN = ScriptedProgram().spec
TYPED = replace(PLAIN, question_input=None)
SILENT = replace(TYPED, answer_output=None)
ASKED = Query("r", ConversationId("ada"), "Hi?", instructions="Be brief.")


def reply(**outputs: Any) -> ProgramReply:
    """What a program gave."""
    return ProgramReply(outputs=outputs, model="m")


def test_a_question_goes_to_its_input() -> None:
    """After the caller's instructions; inputs by name go as they are."""
    values = {"topic": "x"}
    assert inputs_of(ASKED, PLAIN) == {"question": "Be brief.\n\nHi?"}
    assert inputs_of(replace(ASKED, inputs=Inputs(values, "{}")), PLAIN) is values


def test_the_plain_answer_is_kept_as_a_text() -> None:
    """Whatever else the program gives."""
    assert answer_of(reply(answer="4", reasoning="why"), PLAIN) == "4"
    assert answer_of(reply(answer=["4"]), PLAIN) == '["4"]'
    assert text_of("4", PLAIN) == "4"


def test_all_outputs_are_kept_as_json_where_there_is_no_plain_side() -> None:
    """The text among them is the answer that is streamed."""
    kept = answer_of(reply(answer="née", score=3), TYPED)
    assert kept == '{"answer":"née","score":3}'
    assert (text_of(kept, TYPED), text_of(kept, SILENT)) == ("née", "")
    assert outputs_of(kept, None, TYPED) == {"answer": "née", "score": 3}


def test_outputs_of_a_plain_program_are_those_it_gave() -> None:
    """When the turn was there already, only the answer is known of it."""
    assert outputs_of("4", reply(answer="4", reasoning="why"), PLAIN) == {"answer": "4", "reasoning": "why"}
    assert outputs_of("4", None, PLAIN) == {"answer": "4"}


@pytest.mark.parametrize("kept", ["plain text", "[1]", ""])
def test_a_turn_that_was_kept_otherwise_has_no_outputs(kept: str) -> None:
    """The program was another when it was."""
    assert (text_of(kept, TYPED), outputs_of(kept, None, TYPED)) == ("", {})
