"""POST /api/v1/programs/{name}/query: a program by its name and its inputs by theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.api.json_answer import JsonAnswer
from agent_service.api.programs.answer import answer_body
from agent_service.api.programs.inputs import question_of, read_inputs
from agent_service.api.programs.schemas import ProgramRequest
from agent_service.api.query import REPLAYED, while_connected
from agent_service.api.requests import (
    read_expected_seq,
    read_idempotency_key,
    read_json,
    read_timeout_seconds,
    validated,
)
from agent_service.api.turnstile import Turnstile
from agent_service.core.context import REQUEST_ID
from agent_service.core.messages import DEFAULT_SESSION_ID, ConversationId, Query

if TYPE_CHECKING:
    from starlette.requests import Request

    from agent_service.api.access.admission import Admission
    from agent_service.api.programs.listing import Catalogue
    from agent_service.api.query import ApiOptions
    from agent_service.runtime.base import Answering


class ProgramQueries:
    """The endpoint that asks a program by its name.

    Args:
        catalogue: the programs.
        answering: answers the queries.
        admission: says who may ask.
        options: bounds of what a caller may send.
    """

    def __init__(
        self, *, catalogue: Catalogue, answering: Answering, admission: Admission, options: ApiOptions
    ) -> None:
        self._catalogue = catalogue
        self._answering = answering
        self._admission = admission
        self._options = options
        self._turnstile = Turnstile()

    def __repr__(self) -> str:
        return f"<ProgramQueries of {self._catalogue!r}>"

    async def ask(self, request: Request) -> JsonAnswer:
        """Ask the program that the path names; ends without an answer when the client leaves."""
        query = await self.read(request)
        answer = await while_connected(self._answering.answer(query), request.receive, request.scope)
        return JsonAnswer(answer_body(answer), headers=REPLAYED if answer.replayed else ())

    async def read(self, request: Request) -> Query:
        """The query in a request, once it is this request's turn.

        Raises:
            ServiceError: there is no such program, the request is not valid, or its caller may not ask it.
        """
        spec = self._catalogue.named(request.path_params["name"])
        await self._turnstile.enter()
        timeout_seconds, expected_seq = read_timeout_seconds(request), read_expected_seq(request)
        idempotency_key = read_idempotency_key(request)
        asked = validated(ProgramRequest, await read_json(request, max_bytes=self._options.max_body_bytes))
        await self._admission.admit(asked.user_id)
        if timeout_seconds is not None:
            timeout_seconds = min(timeout_seconds, self._options.request_timeout_seconds)
        return Query(
            request_id=REQUEST_ID.get(),
            conversation=ConversationId(asked.user_id, asked.session_id or DEFAULT_SESSION_ID),
            question=question_of(spec, asked.inputs),
            timeout_seconds=timeout_seconds,
            expected_seq=expected_seq,
            idempotency_key=idempotency_key,
            program=spec.name,
            inputs=read_inputs(spec, asked.inputs, max_text_chars=self._options.max_question_chars),
        )
