"""The endpoint of responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from agent_service.api.openai.conversation import asked
from agent_service.api.openai.programs import Place
from agent_service.api.openai.responses.document import Outline, message_item, reasoning_item, usage_of
from agent_service.api.openai.responses.events import ResponseEvents
from agent_service.api.openai.responses.identity import ResponseIdentity, kept_response
from agent_service.api.openai.schemas import ResponseRequest
from agent_service.api.openai.steps import used
from agent_service.core.errors import FieldProblem, InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from agent_service.api.openai.programs import Programs
    from agent_service.api.streams.response import EventStream
    from agent_service.core.clock import Clock
    from agent_service.core.messages import Answer


class Responses:
    """Answers requests for responses, whole or in events."""

    def __init__(self, *, programs: Programs, clock: Clock) -> None:
        self._programs = programs
        self._clock = clock

    async def create(self, request: Request) -> Response | EventStream:
        """Answer the input, after the response that it continues."""
        sent = await self._programs.read(request, ResponseRequest)
        question = asked(sent.messages, field="input", instructions=sent.instructions)
        place = _place(sent)
        query = self._programs.query(request, sent, question, place=place, field="input")
        identity = ResponseIdentity(place.session_id if place.is_kept else None, place.turn_id)
        outline = Outline(identity, sent, int(self._clock.wall()))
        if sent.stream:
            return await self._programs.stream(query, request, write=ResponseEvents(outline).write)
        return JSONResponse(_response(await self._programs.answer(query, request), outline))


def _place(sent: ResponseRequest) -> Place:
    """After the response that is continued; else in the session that is named, or in a new one."""
    is_kept = sent.store is not False
    if sent.continued is None:
        new = ResponseIdentity(None).turn_id
        session_id = sent.session_id or (f"response-{new}" if is_kept else None)
        is_recalled = sent.session_id is not None
        return Place(session_id, turn_id=new, is_recalled=is_recalled, is_kept=is_kept)
    continued = kept_response(sent.continued)
    if continued is None:
        raise NotFoundError("There is no such response to continue; it was not stored.")
    if sent.session_id not in {None, continued.session_id}:
        problem = FieldProblem("metadata.session_id", "must be left out, or that of the response to continue")
        raise InvalidRequestError("Not valid: metadata.session_id.", fields=(problem,))
    return Place(continued.session_id, after_turn_id=continued.turn_id, is_recalled=True, is_kept=is_kept)


def _response(answer: Answer, outline: Outline) -> dict[str, Any]:
    identity = outline.identity
    steps = [reasoning_item(identity.step(at), used(tool)) for at, tool in enumerate(answer.tools_used)]
    usage = usage_of(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    output = [*steps, message_item(identity.message, answer.text)]
    return outline.document("completed", output, usage=usage, is_kept=answer.stored)
