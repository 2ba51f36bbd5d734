"""The last event of a stream: what the plain endpoint would have answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.api.problems import problem_of
from agent_service.api.programs.answer import answer_body
from agent_service.api.query import response_body

if TYPE_CHECKING:
    from agent_service.core.errors import ServiceError
    from agent_service.core.messages import Answer


class LastEvents:
    """Writes answers and errors as the plain endpoint does; see ``Presentation``."""

    def answer(self, answer: Answer) -> str:
        """The body of the plain endpoint's response, or of that of the program."""
        return response_body(answer) if answer.outputs is None else answer_body(answer).decode()

    def problem(self, error: ServiceError, request_id: str) -> str:
        """The problem document."""
        return problem_of(error, request_id).model_dump_json(exclude_unset=True)
