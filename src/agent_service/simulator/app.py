"""The simulator's HTTP surface: chat completions, models, and its own controls under ``/_sim``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from agent_service.core.clock import SystemClock, sleep
from agent_service.programs.offline.rules import inquiry_of
from agent_service.simulator.behaviour import Behaviour
from agent_service.simulator.chat import ChatReply, ChatRequest, reply_to
from agent_service.simulator.completions import Completion
from agent_service.simulator.director import Director
from agent_service.simulator.exchange import ClientGoneError, Exchange
from agent_service.simulator.faults import play
from agent_service.simulator.journal import Journal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from agent_service.core.clock import Clock
    from agent_service.simulator.director import Plan
    from agent_service.simulator.journal import Entry, Outcome

_MODELS = {"object": "list", "data": [{"id": "simulator", "object": "model", "owned_by": "agent-service"}]}


def create_simulator(
    *, behaviour: Behaviour | None = None, clock: Clock | None = None, random: Random | None = None
) -> ASGIApp:
    """An OpenAI-compatible language model server that answers by the offline rules.

    ``behaviour`` is what ``DELETE /_sim/behaviour`` returns to. Needs the connections of ``serve``.
    """
    clock = clock or SystemClock()
    director = Director(behaviour=behaviour or Behaviour(), random=random or Random())
    journal = Journal(clock=clock)
    controls = Controls(director=director, journal=journal)
    return Starlette(
        routes=[
            Route(
                "/v1/chat/completions",
                ChatCompletions(director=director, journal=journal, clock=clock),
                methods=["POST"],
            ),
            Route("/v1/models", controls.models),
            Route("/_sim/behaviour", controls.behaviour, methods=["GET", "PUT", "DELETE"]),
            Route("/_sim/script", controls.script, methods=["PUT"]),
            Route("/_sim/journal", controls.journal, methods=["GET", "DELETE"]),
        ]
    )


class ChatCompletions:
    """``POST /v1/chat/completions``."""

    def __init__(self, *, director: Director, journal: Journal, clock: Clock) -> None:
        self._director = director
        self._journal = journal
        self._clock = clock

    def __repr__(self) -> str:
        return f"ChatCompletions({self._director!r}, {self._journal!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and note how it ended."""
        exchange = Exchange(scope=scope, receive=receive, send=send)
        try:
            request = ChatRequest.from_body(await exchange.read())
            prompt = request.prompt
            inquiry = inquiry_of(prompt)
            plan = self._director.plan(inquiry.question)
        except ValueError as error:
            with suppress(ClientGoneError):
                await exchange.refuse(400, str(error), kind="invalid_request_error")
            return
        reply = ChatReply(plan.text) if plan.text is not None else reply_to(request, prompt, inquiry)
        entry = self._journal_entry(request, plan)
        completion = Completion(request, reply, entry.n, int(entry.at_epoch_seconds))
        self._journal.close(entry, await self._outcome(plan, exchange, completion))

    def _journal_entry(self, request: ChatRequest, plan: Plan) -> Entry:
        return self._journal.open(
            model=request.model,
            messages=request.messages,
            stream=request.stream,
            tools=list(request.tools),
            fault=plan.fault.kind if plan.fault else None,
        )

    async def _outcome(self, plan: Plan, exchange: Exchange, completion: Completion) -> Outcome:
        try:
            if plan.waits:
                await self._answer_while_there(plan, exchange, completion)
            else:
                await exchange.respond(200, completion.content_type, completion.body())
        except ClientGoneError:
            return "client_gone"
        return "fault" if plan.fault else "answered"

    async def _answer_while_there(self, plan: Plan, exchange: Exchange, completion: Completion) -> None:
        """Answer, and stop as soon as the client has gone."""
        answering = asyncio.ensure_future(self._answer(plan, exchange, completion))
        leaving = asyncio.ensure_future(exchange.client_gone())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
            elif not exchange.broken:
                raise ClientGoneError
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, plan: Plan, exchange: Exchange, completion: Completion) -> None:
        if plan.latency_seconds > 0:
            await sleep(self._clock, plan.latency_seconds)
        if plan.fault:
            await play(plan.fault, exchange, completion, self._clock)
        elif plan.tokens_per_second is None or not completion.request.stream:
            await exchange.respond(200, completion.content_type, completion.body())
        else:
            await self._stream(1 / plan.tokens_per_second, exchange, completion)

    async def _stream(self, pause_seconds: float, exchange: Exchange, completion: Completion) -> None:
        *events, last = completion.events()
        await exchange.start(200, completion.content_type, headers={})
        for event in events:
            await exchange.write(event)
            await sleep(self._clock, pause_seconds)
        await exchange.write(last, last=True)


class Controls:
    """What tests and people use to steer and to look."""

    def __init__(self, *, director: Director, journal: Journal) -> None:
        self._director = director
        self._journal = journal

    def __repr__(self) -> str:
        return f"Controls({self._director!r}, {self._journal!r})"

    async def models(self, _: Request) -> Response:
        """``GET /v1/models``: any other name is accepted too."""
        return _json(_MODELS)

    async def behaviour(self, request: Request) -> Response:
        """``GET``, ``PUT`` or ``DELETE /_sim/behaviour``; ``DELETE`` also forgets the script."""
        if request.method == "PUT":
            try:
                self._director.behaviour = Behaviour.from_json(orjson.loads(await request.body()))
            except ValueError as error:
                return _json({"error": str(error)}, status=400)
        elif request.method == "DELETE":
            self._director.reset()
        return _json(self._director.behaviour.to_json())

    async def script(self, request: Request) -> Response:
        """``PUT /_sim/script``: what the next requests get, in order."""
        try:
            self._director.follow(orjson.loads(await request.body()))
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, status=400)
        return Response(status_code=204)

    async def journal(self, request: Request) -> Response:
        """``GET`` or ``DELETE /_sim/journal``."""
        if request.method == "DELETE":
            self._journal.clear()
        return _json(self._journal.to_json())


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
