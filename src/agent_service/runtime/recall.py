"""What is remembered of a conversation when a query of it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.errors import MemoryUnavailableError, PreconditionFailedError

if TYPE_CHECKING:
    from agent_service.core.messages import Query
    from agent_service.core.run import Run
    from agent_service.memory.base import ConversationStore, Window
    from agent_service.runtime.turns import HeldTurn


async def recalled(
    store: ConversationStore, query: Query, run: Run, held: HeldTurn, *, last_turns: int, may_degrade: bool
) -> Window | None:
    """The conversation as it came with the turn, else as it is read; None when it cannot be and need not be.

    Raises:
        MemoryUnavailableError: it cannot be read, and the query may not, or must not, do without.
        PreconditionFailedError: it is not as the caller expects.
        RunStoppedError: the run was stopped meanwhile.
    """
    window = held.window
    try:
        if held.failure is not None:
            raise held.failure
        if window is None:
            with run.interruptible():
                window = await store.read(query.conversation, last_turns=last_turns)
    except MemoryUnavailableError:
        if may_degrade and query.expected_seq is None:
            return None
        raise
    if query.expected_seq not in {None, window.last_seq}:
        raise PreconditionFailedError(f"The conversation's last turn has seq {window.last_seq}.")
    return window
