"""The same key again gets the same answer: at most one run and one turn for each key of a user.

The draft of the header is draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent_service.core.errors import (
    ConflictError,
    FieldProblem,
    InvalidRequestError,
    MemoryUnavailableError,
    ServiceError,
)
from agent_service.core.identity import new_id
from agent_service.core.messages import Answer, Usage
from agent_service.memory.base import IdempotencyKey
from agent_service.runtime.answer_record import read_answer, written_answer
from agent_service.runtime.said import outputs_of, text_of

if TYPE_CHECKING:
    from agent_service.core.messages import Query, StoredTurn
    from agent_service.core.observer import Observer
    from agent_service.memory.base import Claim, ConversationStore
    from agent_service.programs.base import ProgramSpec
    from agent_service.programs.served import ServedPrograms
    from agent_service.runtime.base import Answering

HEADER = "Idempotency-Key"

_ROUTE = "POST /api/v1/query"
_RETRY_AFTER_SECONDS = 1.0
_PAGE_TURNS = 100


@dataclass(frozen=True, slots=True)
class IdempotencyOptions:
    """How long keys are remembered.

    Attributes:
        ttl_seconds: of an answer; not longer than its conversation lives.
        running_ttl_seconds: of a query that is being answered; longer than one can take. After this a
            query whose process died can be asked again.
    """

    ttl_seconds: float = 24 * 3600.0
    running_ttl_seconds: float = 35.0

    def __post_init__(self) -> None:
        for name in ("ttl_seconds", "running_ttl_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


class IdempotentAnswering:
    """Answers queries that carry a key at most once; passes the others on.

    A key is bound to its user and to what was asked first. A query that fails lets go of its key, and the
    next one runs. When the turn may be stored all the same, because its process died, the caller left or
    the store did not say, the next one keeps the turn's id: it finds the turn, or its own commit does.

    Args:
        answering: runs a query under its ``turn_id``.
        store: keeps the keys, and the conversations.
        programs: what is asked.
        options: how long keys are remembered.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        store: ConversationStore,
        programs: ServedPrograms,
        options: IdempotencyOptions,
    ) -> None:
        self._answering = answering
        self._store = store
        self._programs = programs
        self._options = options

    def __repr__(self) -> str:
        return f"<IdempotentAnswering before {self._answering!r}>"

    async def answer(self, query: Query, listener: Observer | None = None) -> Answer:
        """Answer ``query``, or repeat the answer that its key was given.

        Raises:
            InvalidRequestError: the key was sent before, with another query.
            ConflictError: the key's query is still being answered, or its answer is not kept any more.
            MemoryUnavailableError: the key cannot be looked up; nothing ran.
            ServiceError: see ``Answering.answer``.
        """
        if query.idempotency_key is None:
            return await self._answering.answer(query, listener)
        key = IdempotencyKey(query.conversation.user_id, query.idempotency_key)
        claimant = new_id()
        claim = await self._claim(key, query, claimant, self._options.running_ttl_seconds)
        if claim.fingerprint != fingerprint_of(query):
            raise _other_query()
        if claim.state == "running":
            detail = f"The query with this {HEADER} is still being answered."
            raise ConflictError(detail, retry_after_seconds=_RETRY_AFTER_SECONDS)
        if claim.state == "done":
            return await self._repeat(query, claim)
        return await self._answer_once(query, key, claim, claimant, listener)

    async def _claim(
        self, key: IdempotencyKey, query: Query, claimant: str, running_ttl_seconds: float
    ) -> Claim:
        return await self._store.claim(
            key,
            fingerprint=fingerprint_of(query),
            turn_id=claimant,
            ttl_seconds=self._options.ttl_seconds,
            running_ttl_seconds=running_ttl_seconds,
        )

    async def _answer_once(
        self, query: Query, key: IdempotencyKey, claim: Claim, claimant: str, listener: Observer | None
    ) -> Answer:
        is_first = claim.turn_id == claimant
        try:
            answer = None if is_first else await self._from_history(query, claim.turn_id)
            if answer is None:
                answer = await self._answering.answer(replace(query, turn_id=claim.turn_id), listener)
            if answer.stored:
                await self._finish(key, claim.turn_id, answer)
            else:
                await self._let_go(key, query, claimant)
        except asyncio.CancelledError:
            await self._let_go(key, query, claimant)
            raise
        except ServiceError:
            if is_first:
                await self._forget(key, claimant)
            else:
                await self._let_go(key, query, claimant)
            raise
        return answer

    async def _finish(self, key: IdempotencyKey, turn_id: str, answer: Answer) -> None:
        with suppress(MemoryUnavailableError):  # the turn is stored: once the claim ends it is found there
            await self._store.finish(
                key, turn_id=turn_id, response=written_answer(answer), ttl_seconds=self._options.ttl_seconds
            )

    async def _forget(self, key: IdempotencyKey, claimant: str) -> None:
        """Nothing was stored, nor will be."""
        with suppress(MemoryUnavailableError):  # the claim ends by itself
            await self._store.abandon(key, turn_id=claimant)

    async def _let_go(self, key: IdempotencyKey, query: Query, claimant: str) -> None:
        """Others may claim from now on. The turn's id stays with the key: it may be stored all the same."""
        with suppress(MemoryUnavailableError):  # the claim ends by itself
            await self._claim(key, query, claimant, 0.0)

    async def _repeat(self, query: Query, claim: Claim) -> Answer:
        if claim.response is not None:
            return replace(read_answer(claim.response, query), replayed=True)
        found = await self._from_history(query, claim.turn_id)
        if found is None:
            raise ConflictError(
                f"The query with this {HEADER} was answered; the answer is not kept any more."
            )
        return found

    async def _from_history(self, query: Query, turn_id: str) -> Answer | None:
        """The stored turn as an answer, without what it took, of which nothing is known."""
        before_seq: int | None = None
        while True:
            page = await self._store.page(query.conversation, limit=_PAGE_TURNS, before_seq=before_seq)
            for stored in page.turns:
                if stored.turn.turn_id == turn_id:
                    return _answer_of(query, stored, self._programs.named(query.program).spec)
            before_seq = page.next_before_seq
            if before_seq is None:
                return None


def fingerprint_of(query: Query) -> str:
    """What two queries with the same key must have in common."""
    at = query.conversation
    asked = [query.question] if query.inputs is None else [query.inputs.text, query.program]
    canonical = json.dumps([_ROUTE, at.user_id, at.session_id, *asked])
    return hashlib.sha256(canonical.encode()).hexdigest()


def _answer_of(query: Query, stored: StoredTurn, spec: ProgramSpec) -> Answer:
    return Answer(
        query=query,
        text=text_of(stored.turn.answer, spec),
        outputs=None if query.inputs is None else outputs_of(stored.turn.answer, None, spec),
        model=stored.turn.model,
        reasoning_steps=0,
        tools_used=(),
        usage=Usage(),
        latency_seconds=0.0,
        stored=True,
        seq=stored.seq,
        replayed=True,
    )


def _other_query() -> InvalidRequestError:
    field = FieldProblem(HEADER, "was sent before with another query; take a new key")
    return InvalidRequestError(f"The {HEADER} header is not valid.", fields=(field,))
