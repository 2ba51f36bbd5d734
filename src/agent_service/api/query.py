"""POST /api/v1/query: one question, one answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect

from agent_service.api.departures import DEPARTURES
from agent_service.api.json_answer import JsonAnswer
from agent_service.api.requests import (
    read_expected_seq,
    read_idempotency_key,
    read_timeout_seconds,
    read_valid_json,
)
from agent_service.api.schemas import QueryRequest
from agent_service.api.turnstile import Turnstile
from agent_service.core.context import REQUEST_ID
from agent_service.core.errors import CancelledByCallerError
from agent_service.core.messages import DEFAULT_SESSION_ID, ConversationId, Query

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.requests import Request
    from starlette.types import Receive, Scope

    from agent_service.api.access.admission import Admission
    from agent_service.api.departures import Departures
    from agent_service.core.messages import Answer
    from agent_service.runtime.base import Answering


T = TypeVar("T")

REPLAYED = ((b"idempotency-replayed", b"true"),)
"""The header of an answer that was given before, to the same idempotency key."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Bounds of what a caller may send and ask for.

    Attributes:
        max_question_chars: characters of a question.
        max_body_bytes: bytes of a request's body.
        request_timeout_seconds: the service's own limit of one query, which a caller can only shorten.
    """

    max_question_chars: int = 32_768
    max_body_bytes: int = 1_048_576
    request_timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.max_question_chars < 1:
            raise ValueError("max_question_chars must be at least 1")
        if self.max_body_bytes < 1:
            raise ValueError("max_body_bytes must be at least 1")
        if self.request_timeout_seconds <= 0:
            raise ValueError("request_timeout_seconds must be positive")


class Queries:
    """The endpoint that answers questions."""

    def __init__(self, *, answering: Answering, admission: Admission, options: ApiOptions) -> None:
        self._answering = answering
        self._admission = admission
        self._options = options
        self._limits = {"max_question_chars": options.max_question_chars}
        self._turnstile = Turnstile()

    async def ask(self, request: Request) -> JsonAnswer:
        """Answer the question in the body; ends without an answer when the client leaves."""
        query = await self.read(request)
        answer = await while_connected(self._answering.answer(query), request.receive, request.scope)
        return JsonAnswer(_encoded(answer), headers=REPLAYED if answer.replayed else ())

    async def read(self, request: Request) -> Query:
        """The query in a request, once it is this request's turn.

        Raises:
            ServiceError: the request is not valid, or its caller may not ask it.
        """
        await self._turnstile.enter()
        timeout_seconds, expected_seq = read_timeout_seconds(request), read_expected_seq(request)
        idempotency_key = read_idempotency_key(request)
        asked = await read_valid_json(
            QueryRequest, request, max_bytes=self._options.max_body_bytes, context=self._limits
        )
        await self._admission.admit(asked.user_id)
        if timeout_seconds is not None:
            timeout_seconds = min(timeout_seconds, self._options.request_timeout_seconds)
        return Query(
            request_id=REQUEST_ID.get(),
            conversation=ConversationId(asked.user_id, asked.session_id or DEFAULT_SESSION_ID),
            question=asked.question,
            timeout_seconds=timeout_seconds,
            expected_seq=expected_seq,
            idempotency_key=idempotency_key,
        )


async def while_connected(work: Coroutine[Any, Any, T], receive: Receive, scope: Scope | None = None) -> T:
    """What ``work`` returns, unless the client leaves first: then the work is cancelled.

    Call it when the request's body is read, from the task that serves the request. With a ``scope`` in which
    the server left ``DEPARTURES`` no other task is needed for it.

    Raises:
        ServiceError: whatever ``work`` raises.
        starlette.requests.ClientDisconnect: the client left; the work has ended.
    """
    watch = _ClientWatch()
    departures: Departures | None = None if scope is None else scope.get(DEPARTURES)
    if departures is not None:
        departures.watch(watch.end_work)
    else:
        watching = asyncio.create_task(_watch(receive, watch))
    try:
        return await work
    except (asyncio.CancelledError, CancelledByCallerError):
        if watch.took_back_its_cancellation():
            raise ClientDisconnect from None
        raise
    finally:
        if departures is not None:
            departures.unwatch(watch.end_work)
        else:
            watching.cancel()


class _ClientWatch:
    """Cancels the task that made it when the client leaves."""

    def __init__(self) -> None:
        self._client_left = False
        self._serving = asyncio.current_task()

    def end_work(self) -> None:
        self._client_left = True
        if self._serving is not None:
            self._serving.cancel()

    def took_back_its_cancellation(self) -> bool:
        """Whether the client left and nobody else cancelled the task (Python 3.10 does not count)."""
        uncancel = getattr(self._serving, "uncancel", int)
        return self._client_left and uncancel() == 0


async def _watch(receive: Receive, watch: _ClientWatch) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    watch.end_work()


def response_body(answer: Answer) -> str:
    """The answer as a caller reads it: a ``QueryResponse``."""
    return _encoded(answer).decode()


def _encoded(answer: Answer) -> bytes:
    query, usage = answer.query, answer.usage
    return orjson.dumps(
        {
            "answer": answer.text,
            "user_id": query.conversation.user_id,
            "question": query.question,
            "reasoning_steps": answer.reasoning_steps,
            "latency_ms": round(answer.latency_seconds * 1000),
            "request_id": query.request_id,
            "session_id": query.conversation.session_id,
            "model": answer.model,
            "tools_used": answer.tools_used,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
                "lm_calls": usage.lm_calls,
            },
            "stored": answer.stored,
            "seq": answer.seq,
            "degraded": answer.degraded,
            "program_version": answer.program_version,
        }
    )
