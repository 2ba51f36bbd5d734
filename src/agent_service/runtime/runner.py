"""One query from admission to answer. The order of the steps is behaviour (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from agent_service.core.clock import Clock, Deadline, first_of, wait_at_most
from agent_service.core.errors import (
    InternalError,
    MemoryUnavailableError,
    ServiceError,
    ShuttingDownError,
)
from agent_service.core.identity import new_id
from agent_service.core.messages import Answer, Query, Turn
from agent_service.core.observer import Observers
from agent_service.core.run import Run, RunLimits, RunStoppedError, StopReason
from agent_service.runtime.in_flight import InFlight
from agent_service.runtime.owned_tasks import OwnedTasks
from agent_service.runtime.recollection import Recollections
from agent_service.runtime.record import Record
from agent_service.runtime.said import answer_of, inputs_of, outputs_of, text_of
from agent_service.runtime.turns import HeldTurn

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from agent_service.core.messages import StoredTurn
    from agent_service.core.observer import Observer
    from agent_service.core.pool import Lease, Pool
    from agent_service.memory.base import ConversationStore
    from agent_service.programs.base import Program, ProgramReply, ProgramSpec
    from agent_service.programs.served import ServedPrograms
    from agent_service.runtime.in_flight import Commits
    from agent_service.runtime.recollection import Recollection
    from agent_service.runtime.turns import TurnKeeper

_DRAIN_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How queries are carried out.

    Attributes:
        request_timeout_seconds: the service's limit of one query.
        commit_reserve_seconds: kept of that limit for storing the turn, at most a tenth of it.
        context_turns: turns of the conversation that the program is shown.
        context_tokens: how long they may be together; see ``within_budget``.
        degrade_without_memory: answer without the conversation when it cannot be read, instead of refusing.
        limits: what one query may use.
    """

    request_timeout_seconds: float = 30.0
    commit_reserve_seconds: float = 1.0
    context_turns: int = 3
    context_tokens: int = 4000
    degrade_without_memory: bool = False
    limits: RunLimits = field(default_factory=RunLimits)

    def __post_init__(self) -> None:
        if not 0 < self.request_timeout_seconds < math.inf:
            raise ValueError("request_timeout_seconds must be finite and positive")
        if not self.commit_reserve_seconds >= 0:
            raise ValueError("commit_reserve_seconds must not be negative")
        if self.context_turns < 0:
            raise ValueError("context_turns must not be negative")

    def limit_seconds(self, query: Query) -> float:
        """From admission to answer: the smaller of the service's limit and the caller's."""
        limits_seconds = (self.request_timeout_seconds, query.timeout_seconds)
        return min(seconds for seconds in limits_seconds if seconds is not None)

    def reserve_seconds(self, query: Query) -> float:
        """Of that, what is kept for storing the turn."""
        return min(self.commit_reserve_seconds, self.limit_seconds(query) / 10)


class Runner:
    """Answers queries with the programs that are served, one pool, one store and its turns."""

    def __init__(
        self,
        *,
        programs: ServedPrograms,
        store: ConversationStore,
        turns: TurnKeeper,
        pool: Pool,
        clock: Clock,
        observer: Observer,
        options: RunnerOptions,
        trace: Callable[[Query, ProgramSpec], Observer] | None = None,
    ) -> None:
        self._programs = programs
        self._turns = turns
        self._pool = pool
        self._clock = clock
        self._observer = observer
        self._options = options
        self._trace = trace
        self._recollections = Recollections(
            store=store,
            context_turns=options.context_turns,
            context_tokens=options.context_tokens,
            degrade_without_memory=options.degrade_without_memory,
        )
        self._draining = False
        self._in_flight = InFlight()
        self._working = OwnedTasks()
        self._lingering = OwnedTasks()

    def __repr__(self) -> str:
        waited_for = len(self._in_flight.waited_for)
        return f"<Runner {waited_for} in flight, {self.abandoned} abandoned, {self._pool!r}>"

    @property
    def abandoned(self) -> int:
        """Slots held by work that no caller waits for: threads, programs that heed no stop, late commits."""
        return self._in_flight.abandoned

    async def answer(self, query: Query, listener: Observer | None = None) -> Answer:
        """Answer ``query``; see ``Answering.answer``."""
        program = self._programs.answering(query)
        run = self._begin(query, program, listener)
        record = Record(query, run, program=program.spec)
        self._in_flight.waited_for.add(run)
        try:
            answer = await self._admit(query, program, run, record)
        except asyncio.CancelledError:
            run.stop(StopReason.CALLER_LEFT)
            record.failed(StopReason.CALLER_LEFT.error())
            raise
        except RunStoppedError as stopped:
            raise record.failed(stopped.error()) from None
        except ServiceError as error:
            record.failed(error)
            raise
        except Exception as error:
            raise record.failed(InternalError(), cause=error) from error
        finally:
            self._in_flight.waited_for.discard(run)
        return record.succeeded(answer)

    def drain(self) -> None:
        """Refuse new queries from now on; those that wait for a slot are refused too."""
        self._draining = True
        self._pool.drain()

    async def drained(self) -> None:
        """Return when no query is in flight: every slot is back, every turn is stored or given up."""
        await self._pool.idle()

    async def stored(self) -> None:
        """Return when every run has ended and its turn is stored or given up; threads are not waited for."""
        await self._working.done()
        await self._turns.done()

    def stop_all(self) -> None:
        """Stop every query in flight; their callers are told that the service is shutting down."""
        for run in list(self._in_flight.waited_for):
            run.stop(StopReason.SHUTDOWN)

    def erasing(self, user_id: str, session_id: str | None) -> AbstractContextManager[Commits]:
        """Within, the user's queries are kept from the conversation; see ``InFlight.erasing``."""
        return self._in_flight.erasing(user_id, session_id)

    def _begin(self, query: Query, program: Program, listener: Observer | None) -> Run:
        listeners = [one for one in (self._trace and self._trace(query, program.spec), listener) if one]
        deadline = Deadline.after(self._clock, self._options.limit_seconds(query))
        return Run(
            request_id=query.request_id,
            deadline=deadline.earlier_by(self._options.reserve_seconds(query)),
            clock=self._clock,
            observer=Observers(self._observer, *listeners) if listeners else self._observer,
            limits=self._options.limits,
            is_watched=listener is not None,
        )

    async def _admit(self, query: Query, program: Program, run: Run, record: Record) -> Answer:
        if self._draining:
            raise ShuttingDownError(retry_after_seconds=_DRAIN_RETRY_AFTER_SECONDS)
        refusal = program.refusal()
        if refusal is not None:
            raise refusal
        lease = await self._pool.lease(run.deadline, principal=query.conversation.user_id)
        self._in_flight.hold(run, query.conversation)
        work = self._working.begin(self._carry_out(query, program, run, record))
        work.add_done_callback(lambda _: self._finish(run, lease))
        return await _outcome(work, run)

    async def _carry_out(self, query: Query, program: Program, run: Run, record: Record) -> Answer:
        """The work itself, in a task of the service's own: it ends when the work ends, whoever listens."""
        with run.stopped_at_deadline():
            async with self._turn_of(query, run) as held:
                return await self._take_turn(query, program, run, record, held)

    def _turn_of(self, query: Query, run: Run) -> AbstractAsyncContextManager[HeldTurn]:
        """The query's turn in its conversation; one that is not recalled is shared with nobody."""
        if not query.is_recalled:
            return nullcontext(HeldTurn(query.conversation))
        return self._turns.hold(query.conversation, run, last_turns=self._options.context_turns)

    async def _take_turn(
        self, query: Query, program: Program, run: Run, record: Record, held: HeldTurn
    ) -> Answer:
        """Remember, run, remember; nobody else is about to in this conversation."""
        spec = program.spec
        recalled = await self._recollections.recall(query, run, held, of=self._programs.turns_of(program))
        record.program_begins()
        reply = await program.run(run, inputs_of(query, spec), recalled.shown)
        run.check()
        run.complete()
        turn = _turn(query, reply, spec, at_epoch_seconds=self._clock.wall())
        stored = None
        if query.is_kept and recalled.is_complete:
            stored = await self._commit(query, run, turn, held, recalled)
        kept = turn if stored is None else stored.turn
        return Answer(
            query=query,
            text=text_of(kept.answer, spec),
            model=kept.model,
            reasoning_steps=run.reasoning_steps,
            tools_used=run.tools_used,
            usage=run.usage,
            latency_seconds=0.0,
            stored=stored is not None,
            seq=stored.seq if stored else None,
            degraded=() if recalled.is_complete else ("memory",),
            outputs=None
            if query.inputs is None
            else outputs_of(kept.answer, reply if kept.answer == turn.answer else None, spec),
        )

    async def _commit(
        self, query: Query, run: Run, turn: Turn, held: HeldTurn, recalled: Recollection
    ) -> StoredTurn | None:
        """Store the turn, whole; None when it is not durably kept by the end of the query's whole limit.

        A turn that is there already, under the same id, comes back as it was. A commit that takes longer
        goes on and keeps the slot, so that commits cannot pile up.
        """
        token = held.token if held.window is not None else None
        storing = self._recollections.keep(query, turn, recalled, token=token)
        commit: asyncio.Future[Any] = self._working.begin(storing)
        self._in_flight.commits(commit, query.conversation)
        run.hold_for(commit)
        held.hold_for(commit)
        limit_seconds = run.deadline.remaining_seconds() + self._options.reserve_seconds(query)
        if not await wait_at_most(self._clock, limit_seconds, commit):
            return None
        try:
            return cast("StoredTurn", commit.result())
        except MemoryUnavailableError:
            return None

    def _finish(self, run: Run, lease: Lease) -> None:
        """Give the slot back when the work has ended; a thread that works on keeps it."""
        if run.is_settled:
            self._release(run, lease)
        else:
            self._lingering.begin(self._release_when_settled(run, lease))

    async def _release_when_settled(self, run: Run, lease: Lease) -> None:
        await run.settled()
        self._release(run, lease)

    def _release(self, run: Run, lease: Lease) -> None:
        self._in_flight.release(run)
        lease.release()


def _turn(query: Query, reply: ProgramReply, spec: ProgramSpec, *, at_epoch_seconds: float) -> Turn:
    return Turn(
        turn_id=query.turn_id or new_id(),
        question=query.question,
        answer=answer_of(reply, spec),
        at_epoch_seconds=at_epoch_seconds,
        model=reply.model,
        program=spec.name,
    )


async def _outcome(work: asyncio.Future[Answer], run: Run) -> Answer:
    """The answer, or the stop's error at once: a caller does not wait for work that lingers."""
    await first_of(work, run.when_stopped())
    answered = work.done() and not work.cancelled() and work.exception() is None
    stopped = run.stopped_error()
    if stopped is not None and not answered:
        raise stopped
    try:
        return work.result()
    except (Exception, RunStoppedError):
        raise
    except BaseException as error:  # a cancellation of the work's own, or the panic of an extension
        raise InternalError from error
