"""Serves a program in the test's own process, as the service does, with a scripted language model."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.api.programs.inputs import question_of, read_inputs
from agent_service.bootstrap.program import build_programs
from agent_service.config import Settings
from agent_service.config import options as options_of
from agent_service.core.clock import SystemClock
from agent_service.core.errors import ServiceError
from agent_service.core.messages import DEFAULT_SESSION_ID, ConversationId, Query
from agent_service.core.pool import Pool
from agent_service.memory.in_memory import InMemoryStore
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.served import ServedPrograms
from agent_service.runtime.lifecycle import Lifecycle
from agent_service.runtime.runner import Runner
from agent_service.runtime.turns import TurnKeeper
from agent_service.testing.answers import ProgramAnswer, answer_of
from agent_service.testing.doubles import RecordingObserver
from agent_service.testing.replies import (
    SCRIPTED_MODEL,
    ModelRequest,
    NoSyncEngine,
    Reply,
    ScriptedModel,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from dspy.clients.base_lm import BaseLM

    from agent_service.programs.base import ProgramSpec

_NO_FILE = Path(os.devnull)


class ServedProgram:
    """A program that is asked as callers ask it: through limits, memory, retries, breaker and deadlines.

    Args:
        runner: answers.
        programs: what it answers with.
        model: the language model.
        settings: the service's.
    """

    def __init__(
        self, *, runner: Runner, programs: ServedPrograms, model: ScriptedModel, settings: Settings
    ) -> None:
        self._runner = runner
        self._programs = programs
        self._model = model
        self._settings = settings

    @property
    def spec(self) -> ProgramSpec:
        """What the default program takes and gives: its fields and its tools."""
        return self._programs.default.spec

    @property
    def requests(self) -> Sequence[ModelRequest]:
        """What the language model was asked, in order."""
        return self._model.requests

    @property
    def unused_replies(self) -> int:
        """How many replies of the script were not asked for."""
        return self._model.unused

    async def ask(
        self,
        question: str | None = None,
        *,
        user: str = "user",
        session: str = DEFAULT_SESSION_ID,
        program: str | None = None,
        timeout_seconds: float | None = None,
        **inputs: Any,
    ) -> ProgramAnswer:
        """Ask a question, or by the names of the program's inputs, with values as JSON has them.

        Args:
            question: for the input that plain questions go to.
            user: whose conversation.
            session: which of the user's.
            program: which of several programs; the first when None.
            timeout_seconds: the caller's limit, shorter than the service's.
            inputs: the other input fields.

        Raises:
            ServiceError: what a caller would be told, with its code.
            ScriptError: when the script has no fitting reply.
        """
        spec = self._programs.named(program).spec
        sent = inputs if question is None else {spec.question_input or "question": question, **inputs}
        heard = RecordingObserver()
        self._model.forgive()
        query = Query(
            request_id=str(uuid.uuid4()),
            conversation=ConversationId(user, session),
            question=question_of(spec, sent),
            timeout_seconds=timeout_seconds,
            program=spec.name,
            inputs=read_inputs(spec, sent, max_text_chars=self._settings.agent_max_question_chars),
        )
        try:
            answer = await self._runner.answer(query, heard)
        except ServiceError as error:
            raise (self._model.mistake or error) from error
        if self._model.mistake is not None:
            raise self._model.mistake
        return answer_of(answer, heard.events)


class SyncProgram:
    """The same for tests that are no coroutines; the program's event loop turns while it is asked."""

    def __init__(self, program: ServedProgram, loop: asyncio.AbstractEventLoop) -> None:
        self._program = program
        self._loop = loop

    @property
    def spec(self) -> ProgramSpec:
        """See ``ServedProgram``."""
        return self._program.spec

    @property
    def requests(self) -> Sequence[ModelRequest]:
        """See ``ServedProgram``."""
        return self._program.requests

    @property
    def unused_replies(self) -> int:
        """See ``ServedProgram``."""
        return self._program.unused_replies

    def ask(self, question: str | None = None, **asked: Any) -> ProgramAnswer:
        """See ``ServedProgram.ask``."""
        return self._loop.run_until_complete(self._program.ask(question, **asked))


@asynccontextmanager
async def serve_program(
    program: dspy.Module | str | None = None,
    *,
    replies: Sequence[Reply] | Callable[[ModelRequest], Reply] = (),
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[ServedProgram]:
    """Within, the program is served. Nothing is asked over a network; what is remembered is in memory.

    Args:
        program: a module, or the ``package.module:attribute`` of one, of a class or of a factory; the
            built-in agent, or what ``settings`` name, when None. A module that is served stays so: its tools
            and language models are the service's afterwards.
        replies: what the language model says, one reply for each call; or a function for all calls. Every
            language model of the program's is this one.
        settings: the service's, by their names; the environment is not looked at.

    Raises:
        LoadError: when the program cannot be served.
        SettingsError: when a setting is wrong.
    """
    named = {"AGENT_PROGRAM": program} if isinstance(program, str) else {}
    chosen = Settings.load({**(settings or {}), **named}, dotenv_path=_NO_FILE)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    model, clock, observer = ScriptedModel(replies), SystemClock(), RecordingObserver()
    programs = ServedPrograms(
        build_programs(
            chosen,
            clock=clock,
            observer=observer,
            own=program if isinstance(program, dspy.Module) else None,
            make_upstreams=partial(_OnlyScripted, model),
        )
    )
    store = InMemoryStore(options_of.store_options(chosen), clock=clock)
    runner = Runner(
        programs=programs,
        store=store,
        turns=TurnKeeper(store=store, clock=clock, options=options_of.turn_options(chosen)),
        pool=Pool(options_of.pool_options(chosen), clock=clock),
        clock=clock,
        observer=observer,
        options=options_of.runner_options(chosen),
    )
    async with Lifecycle(store=store, programs=programs, runner=runner, clock=clock).running():
        yield ServedProgram(runner=runner, programs=programs, model=model, settings=chosen)


@contextmanager
def serve_program_sync(
    program: dspy.Module | str | None = None,
    *,
    replies: Sequence[Reply] | Callable[[ModelRequest], Reply] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[SyncProgram]:
    """``serve_program`` for tests that are no coroutines. Not for use within a running event loop."""
    loop = asyncio.new_event_loop()
    serving = serve_program(program, replies=replies, settings=settings)
    try:
        with _entered(serving, loop) as served:
            yield SyncProgram(served, loop)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextmanager
def _entered(
    serving: AbstractAsyncContextManager[ServedProgram], loop: asyncio.AbstractEventLoop
) -> Iterator[ServedProgram]:
    served = loop.run_until_complete(serving.__aenter__())
    try:
        yield served
    finally:
        loop.run_until_complete(serving.__aexit__(None, None, None))


class _OnlyScripted(Upstreams):
    """Whatever language model a program brings, the scripted one is taken in its place."""

    def __init__(self, model: ScriptedModel, **parts: Any) -> None:
        super().__init__(**parts)
        self._scripted = dspy.LM(SCRIPTED_MODEL, engine=NoSyncEngine(), async_engine=model)

    def configured(self, own: BaseLM | None = None) -> dspy.LM:  # noqa: ARG002 - none but the scripted one
        return super().take(self._scripted)

    def take(self, lm: BaseLM, fallbacks: Sequence[Any] = ()) -> dspy.LM:  # noqa: ARG002 - the same
        return super().take(self._scripted)
