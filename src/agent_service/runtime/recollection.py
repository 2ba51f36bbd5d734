"""What one query has of its conversation: what the program is shown before it, and where its turn goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent_service.core.errors import MemoryUnavailableError, NotFoundError, PreconditionFailedError
from agent_service.core.identity import new_id
from agent_service.memory.base import Window
from agent_service.runtime.context import within_budget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import Query, StoredTurn, Turn
    from agent_service.core.run import Run
    from agent_service.memory.base import ConversationStore
    from agent_service.runtime.turns import HeldTurn

_PAGE_TURNS = 20


@dataclass(frozen=True, slots=True)
class Recollection:
    """What is known of a conversation when a question is asked in it.

    Attributes:
        shown: the turns that the program is shown, oldest first.
        base_seq: the last of them that is stored, 0 when none is.
        to_keep: turns that the caller sent, which are stored before the question's own.
        is_complete: whether the conversation could be read; nothing is stored when not.
    """

    shown: tuple[Turn, ...]
    base_seq: int = 0
    to_keep: tuple[Turn, ...] = ()
    is_complete: bool = True


class Recollections:
    """Reads what comes before a question, and stores what comes of it.

    Args:
        store: where conversations are.
        context_turns: stored turns that a program is shown.
        context_tokens: how long they may be together; see ``within_budget``.
        degrade_without_memory: do without a conversation that cannot be read.
    """

    def __init__(
        self,
        *,
        store: ConversationStore,
        context_turns: int,
        context_tokens: int,
        degrade_without_memory: bool,
    ) -> None:
        self._store = store
        self._context_turns = context_turns
        self._context_tokens = context_tokens
        self._degrade_without_memory = degrade_without_memory

    def __repr__(self) -> str:
        return f"<Recollections of {self._context_turns} turns in {self._store!r}>"

    async def recall(
        self, query: Query, run: Run, held: HeldTurn, *, of: Callable[[Turn], bool] | None = None
    ) -> Recollection:
        """The conversation of ``query``, which says what it is. What came with the turn is not read again.

        Of what is stored, turns are shown that ``of`` chooses; all, when it is None.

        Raises:
            NotFoundError: the turn that it continues is not kept any more.
            PreconditionFailedError: it is not as the caller expects.
            MemoryUnavailableError: it cannot be read and is needed.
            RunStoppedError: the run was stopped meanwhile.
        """
        if not query.is_recalled:
            return self._sent(query)
        try:
            window = await self._read(query, run, held)
        except MemoryUnavailableError:
            is_needed = query.expected_seq is not None or query.after_turn_id is not None
            if is_needed or not self._degrade_without_memory:
                raise
            return Recollection(query.before, is_complete=False)
        if query.expected_seq not in {None, window.last_seq}:
            raise PreconditionFailedError(f"The conversation's last turn has seq {window.last_seq}.")
        if window.last_seq == 0:
            return self._sent(query)
        turns = [stored.turn for stored in window.turns if of is None or of(stored.turn)]
        shown = within_budget(turns, self._context_tokens)
        if query.after_turn_id is None:
            return Recollection(shown, window.last_seq)
        return Recollection((*shown, *query.before), window.last_seq, self._worth_keeping(query))

    def keep(
        self, query: Query, turn: Turn, recalled: Recollection, *, token: str | None
    ) -> Awaitable[StoredTurn]:
        """Store ``turn`` after what was recalled, whole turns; the last gives back ``token``'s lease.

        Raises:
            MemoryUnavailableError: it is not stored.
        """
        if recalled.to_keep:
            return self._keep_all(query, turn, recalled, token)
        return self._store.commit(query.conversation, turn, base_seq=recalled.base_seq, token=token)

    async def _keep_all(
        self, query: Query, turn: Turn, recalled: Recollection, token: str | None
    ) -> StoredTurn:
        base_seq = recalled.base_seq
        for said in recalled.to_keep:
            dated = replace(said, turn_id=new_id(), at_epoch_seconds=turn.at_epoch_seconds)
            base_seq = (await self._store.commit(query.conversation, dated, base_seq=base_seq)).seq
        return await self._store.commit(query.conversation, turn, base_seq=base_seq, token=token)

    def _sent(self, query: Query) -> Recollection:
        return Recollection(query.before, to_keep=self._worth_keeping(query))

    def _worth_keeping(self, query: Query) -> tuple[Turn, ...]:
        """As much of what the caller sent as a later question is shown."""
        return query.before[max(0, len(query.before) - self._context_turns) :]

    async def _read(self, query: Query, run: Run, held: HeldTurn) -> Window:
        if query.after_turn_id is not None:
            with run.interruptible():
                found = await self._lineage(query, query.after_turn_id)
            shown = found[: self._context_turns]
            return Window(tuple(reversed(shown)), found[0].seq)
        if held.window is not None:
            return held.window
        with run.interruptible():
            return await self._store.read(query.conversation, last_turns=self._context_turns)

    async def _lineage(self, query: Query, turn_id: str) -> list[StoredTurn]:
        """The turn, newest first followed by those that it was answered on sight of, as many as are shown.

        Raises:
            NotFoundError: it is not there.
        """
        found: list[StoredTurn] = []
        before_seq: int | None = None
        while True:
            page = await self._store.page(query.conversation, limit=_PAGE_TURNS, before_seq=before_seq)
            for stored in reversed(page.turns):
                is_next = stored.seq == found[-1].base_seq if found else stored.turn.turn_id == turn_id
                if is_next:
                    found.append(stored)
            before_seq = page.next_before_seq
            if before_seq is None or len(found) >= max(1, self._context_turns):
                break
        if not found:
            raise NotFoundError("The response to continue is not kept any more.")
        return found


def instructed(query: Query) -> str:
    """The question as the program gets it: after the caller's own instructions, where there are some."""
    return "\n\n".join(filter(None, [query.instructions, query.question]))
