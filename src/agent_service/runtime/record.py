"""What is told of a query when it is over, exactly once, whatever its end."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent_service.core.messages import Progress
from agent_service.core.observer import QueryFinished, RunStarted

if TYPE_CHECKING:
    from agent_service.core.errors import ServiceError
    from agent_service.core.messages import Answer, Query
    from agent_service.core.run import Run
    from agent_service.programs.base import ProgramSpec

E = TypeVar("E", bound="ServiceError")


class Record:
    """Measures a query from now on and emits its ``QueryFinished``."""

    def __init__(self, query: Query, run: Run, *, program: ProgramSpec) -> None:
        self._query = query
        self._run = run
        self._program = program
        self._started = run.clock.monotonic()
        self._program_began = False

    def program_begins(self) -> None:
        """Emit it; from now on a failure tells how far the query had come."""
        self._program_began = True
        self._run.emit(RunStarted(self._run.request_id, self._program.name))

    def succeeded(self, answer: Answer) -> Answer:
        """Emit the success; returns the answer with its latency."""
        latency_seconds, version = self._latency_seconds(), self._program.version_name
        answer = replace(answer, latency_seconds=latency_seconds, program_version=version)
        self._emit(code=None, model=answer.model, stored=answer.stored, cause="")
        return answer

    def failed(self, error: E, *, cause: BaseException | None = None) -> E:
        """Emit the failure; returns the error, to be raised, with the progress of a program that began."""
        if self._program_began:
            error.progress = Progress(self._run.reasoning_steps, self._run.usage)
        origin = cause or error.__cause__
        blamed = self._program_began and error.may_blame_program
        self._emit(
            code=error.code,
            model=self._program.model,
            stored=False,
            cause=describe(origin),
            may_blame_program=blamed,
        )
        return error

    def _latency_seconds(self) -> float:
        return self._run.clock.monotonic() - self._started

    def _emit(
        self, *, code: str | None, model: str, stored: bool, cause: str, may_blame_program: bool = False
    ) -> None:
        self._run.emit(
            QueryFinished(
                request_id=self._query.request_id,
                user_id=self._query.conversation.user_id,
                session_id=self._query.conversation.session_id,
                program=self._program.name,
                model=model,
                code=code,
                reasoning_steps=self._run.reasoning_steps,
                tools_used=self._run.tools_used,
                usage=self._run.usage,
                latency_seconds=self._latency_seconds(),
                stored=stored,
                cause=cause,
                version=self._program.version_name,
                may_blame_program=may_blame_program,
            )
        )


def describe(error: BaseException | None) -> str:
    """The class of an error and the line it came from. Its text may hold a prompt and is left out."""
    if error is None:
        return ""
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        where = f" at {Path(frame.f_code.co_filename).name}:{line}"
    return f"{type(error).__name__}{where}"
