"""From a client's request to an answer of the program it names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from agent_service.api.openai.schemas import ANONYMOUS, ProgramRequest
from agent_service.api.query import while_connected
from agent_service.api.requests import read_json, read_timeout_seconds, validated
from agent_service.api.schemas import QueryRequest
from agent_service.api.streams.presentation import LastEvents
from agent_service.api.streams.response import EventStream
from agent_service.api.turnstile import Turnstile
from agent_service.core.context import REQUEST_ID
from agent_service.core.errors import FieldProblem, InvalidRequestError, NotFoundError
from agent_service.core.messages import ConversationId, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from agent_service.api.access.admission import Admission
    from agent_service.api.openai.conversation import Asked
    from agent_service.api.query import ApiOptions
    from agent_service.core.messages import Answer
    from agent_service.core.stream_events import StreamEvent
    from agent_service.runtime.base import Answering
    from agent_service.runtime.streams.base import Following


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question belongs: in a stored conversation, perhaps after one of its turns, or in none.

    See ``Query`` for the rest; ``turn_id`` is that of the answer.
    """

    session_id: str | None = None
    turn_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    after_turn_id: str | None = None
    is_recalled: bool = False
    is_kept: bool = False


_Request = TypeVar("_Request", bound=ProgramRequest)


class Programs:
    """The programs that a question can be asked, as OpenAI's clients ask them.

    Args:
        names: theirs, of which clients give one as the model.
        options: bounds of what a caller may send.
        answering: answers the queries.
        following: answers those that are streamed.
        admission: says who may ask.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        options: ApiOptions,
        answering: Answering,
        following: Following,
        admission: Admission,
    ) -> None:
        self.names = tuple(names)
        self._options = options
        self._limits = {"max_question_chars": options.max_question_chars}
        self._answering = answering
        self._following = following
        self._admission = admission
        self._turnstile = Turnstile()

    def __repr__(self) -> str:
        return f"<Programs {', '.join(self.names)}>"

    def check(self, name: str) -> None:
        """Refuse names of programs that are not served.

        Raises:
            NotFoundError: there is none of this name.
        """
        if name not in self.names:
            served = ", ".join(map(repr, self.names))
            detail = f"there is {served}" if served else "no program here takes a plain question"
            raise NotFoundError(f"No such model is served; {detail}.")

    async def read(self, request: Request, model: type[_Request]) -> _Request:
        """The body as ``model``, once it is this request's turn.

        Raises:
            ServiceError: it is not valid, names no program of ours, or its caller may not ask it.
        """
        await self._turnstile.enter()
        asked = validated(model, await read_json(request, max_bytes=self._options.max_body_bytes))
        self.check(asked.model)
        await self._admission.admit(self._user_id(asked))
        return asked

    def query(
        self, request: Request, sent: ProgramRequest, asked: Asked, *, place: Place, field: str
    ) -> Query:
        """What is asked as a query, in its place; ``field`` is the name of the messages in the request.

        Raises:
            InvalidRequestError: the question or the time limit is not valid.
        """
        timeout_seconds = read_timeout_seconds(request)
        if timeout_seconds is not None:
            timeout_seconds = min(timeout_seconds, self._options.request_timeout_seconds)
        self._check_question(asked.question, field)
        return Query(
            request_id=REQUEST_ID.get(),
            conversation=ConversationId(self._user_id(sent), place.session_id or f"request-{place.turn_id}"),
            question=asked.question,
            timeout_seconds=timeout_seconds,
            turn_id=place.turn_id,
            instructions=asked.instructions,
            before=asked.before,
            after_turn_id=place.after_turn_id,
            is_recalled=place.is_recalled,
            is_kept=place.is_kept,
            program=sent.model,
        )

    async def answer(self, query: Query, request: Request) -> Answer:
        """The whole answer; a client that leaves stops the run."""
        return await while_connected(self._answering.answer(query), request.receive, request.scope)

    async def stream(
        self, query: Query, request: Request, *, write: Callable[[Sequence[StreamEvent]], bytes]
    ) -> EventStream:
        """The answer by events, as ``write`` writes them; a client that leaves stops the run."""
        source = await while_connected(
            self._following.follow(query, goes_on=False), request.receive, request.scope
        )
        return EventStream(source, presentation=LastEvents(), write=write)

    def _user_id(self, sent: ProgramRequest) -> str:
        return sent.user_id or self._admission.default_user_id(ANONYMOUS)

    def _check_question(self, question: str, field: str) -> None:
        try:
            validated(QueryRequest, {"user_id": "any", "question": question}, self._limits)
        except InvalidRequestError as error:
            fields = tuple(FieldProblem(field, at.problem) for at in error.fields)
            raise InvalidRequestError(f"Not valid: {field}.", fields=fields) from None
