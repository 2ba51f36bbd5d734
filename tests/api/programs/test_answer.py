"""An answer by the names of outputs."""

from __future__ import annotations

import json

from agent_service.api.programs.answer import answer_body
from agent_service.api.programs.schemas import ProgramAnswer
from agent_service.core.messages import ConversationId, Query
from tests.api.programs.conftest import OUTPUTS, reply


async def test_the_body_is_what_the_schema_says() -> None:
    """Field by field; a number of more than 64 bits is a number too."""
    body = json.loads(answer_body(await reply(Query("r", ConversationId("ada"), "", program="p"))))

    assert set(body) == set(ProgramAnswer.model_fields)
    assert ProgramAnswer.model_validate(body).outputs == OUTPUTS
