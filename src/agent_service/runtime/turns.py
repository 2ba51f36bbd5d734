"""One question at a time per conversation, in this process and beside others.

A conversation's questions form a line in this process; its head takes the store's turn lease, which other
processes respect. The lease makes conversations coherent and guarantees nothing: a turn that was answered
although another came between is stored all the same and tells so by its ``base_seq``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agent_service.core.clock import sleep, wait_at_most
from agent_service.core.errors import ConflictError, MemoryUnavailableError
from agent_service.core.identity import new_id
from agent_service.core.run import StepTimeoutError
from agent_service.runtime.owned_tasks import OwnedTasks

if TYPE_CHECKING:
    from agent_service.core.clock import Clock, Timer
    from agent_service.core.messages import ConversationId
    from agent_service.core.run import Run
    from agent_service.memory.base import ConversationStore, Window

_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.1
_RETRY_AFTER_SECONDS = 1.0
_RENEWED_AT_ONCE = 64
"""Enough that a slow store does not hold the others up for a lease's time, few enough to be no burst."""


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """What becomes of a question while another of its conversation is being answered.

    Attributes:
        policy: ``serialize``: it waits; ``reject``: it is refused; ``parallel``: it is answered at once.
        wait_seconds: how long it may wait.
        lease_seconds: after this a turn whose process died is free for others.
    """

    policy: Literal["serialize", "reject", "parallel"] = "serialize"
    wait_seconds: float = 5.0
    lease_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in ("wait_seconds", "lease_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


class HeldTurn:
    """What one question has of its conversation: a place in the line, and the lease once it is the head.

    Attributes:
        token: what holds the lease.
        window: the conversation as it was when the lease was taken; None without a lease.
    """

    def __init__(self, conversation: ConversationId) -> None:
        self.conversation = conversation
        self.token = new_id()
        self.window: Window | None = None
        self.place: asyncio.Future[None] | None = None
        self.is_asked_for = False
        self.commits: list[asyncio.Future[Any]] = []

    def __repr__(self) -> str:
        return f"<HeldTurn {'with' if self.window else 'without'} a lease>"

    def hold_for(self, commit: asyncio.Future[Any]) -> None:
        """The turn is not over before ``commit`` is done, which gives the lease of ``token`` back."""
        self.commits.append(commit)

    @property
    def is_given_back(self) -> bool:
        """Whether a commit has given the lease back."""
        return any(
            commit.done() and not commit.cancelled() and commit.exception() is None for commit in self.commits
        )


class TurnKeeper:
    """Gives turns of conversations. For one event loop.

    Args:
        store: has the leases that other processes respect.
        clock: where time comes from.
        options: the policy and its spans.
    """

    def __init__(self, *, store: ConversationStore, clock: Clock, options: TurnOptions) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._lines = _Lines()
        self._tasks = OwnedTasks()
        self._leased: set[HeldTurn] = set()
        self._renewal: Timer | None = None

    def __repr__(self) -> str:
        return f"<TurnKeeper {self._options.policy}, {self._lines!r}, {self._tasks!r}>"

    def hold(self, conversation: ConversationId, run: Run, *, last_turns: int = 0) -> _Hold:
        """Within, nobody else who asks here answers in ``conversation``, unless the policy is ``parallel``.

        With the lease comes the conversation's ``window``. A turn that no commit has given back is given
        back in a task of the keeper's own, which is waited for until the run's deadline: who asks next,
        elsewhere perhaps, finds it free. A store that fails gives no lease and stops nobody.

        Raises:
            ConflictError: another question is being answered, for ``wait_seconds`` or, with ``reject``, now.
            RunStoppedError: the run was stopped while it waited.
        """
        return _Hold(self, HeldTurn(conversation), run, last_turns)

    async def begin(self, turn: HeldTurn, run: Run, last_turns: int) -> None:
        """Take the turn; see ``hold``."""
        if self._options.policy == "parallel":
            return
        turn.place = self._lines.join(turn.conversation)
        try:
            await self._enter(turn, turn.place, run, last_turns)
        except BaseException:
            await self.end(turn, run)
            raise

    async def end(self, turn: HeldTurn, run: Run) -> None:
        """Give the turn back; see ``hold``."""
        if turn.place is None:
            return
        if turn.is_given_back:
            self._leave(turn, turn.place)
            return
        ending = self._tasks.begin(self._end(turn, turn.place))
        remaining_seconds = run.deadline.remaining_seconds()
        if remaining_seconds and all(commit.done() for commit in turn.commits):
            await wait_at_most(self._clock, remaining_seconds, ending)

    async def done(self) -> None:
        """Return when every turn is given back."""
        await self._tasks.done()

    async def _enter(self, turn: HeldTurn, place: asyncio.Future[None], run: Run, last_turns: int) -> None:
        if self._options.policy == "reject" and not place.done():
            raise _busy()
        try:
            with run.interruptible(self._options.wait_seconds):
                await place
                if not await self._take(turn, last_turns):
                    raise _busy()
        except StepTimeoutError:
            raise _busy() from None
        self._leased.add(turn)
        self._plan_renewal()

    async def _take(self, turn: HeldTurn, last_turns: int) -> bool:
        """Ask for the lease until it is there; whether to go on."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        turn.is_asked_for = True
        while not await self._is_free_for(turn, last_turns):
            if self._options.policy == "reject":
                return False
            await sleep(self._clock, pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
        return True

    async def _is_free_for(self, turn: HeldTurn, last_turns: int) -> bool:
        try:
            turn.window = await self._store.take_turn(
                turn.conversation,
                token=turn.token,
                ttl_seconds=self._options.lease_seconds,
                last_turns=last_turns,
            )
        except MemoryUnavailableError:
            return True  # a store that cannot be written may still be read; the question finds out
        return turn.window is not None

    def _plan_renewal(self) -> None:
        """One timer renews all leases, so that a question that is answered soon costs none."""
        if self._renewal is None and self._leased:
            self._renewal = self._clock.call_later(self._options.lease_seconds / 3, self._renew_all)

    def _renew_all(self) -> None:
        self._renewal = None
        due = list(self._leased)
        for _ in due[:_RENEWED_AT_ONCE]:
            self._tasks.begin(self._renew_each(due))
        self._plan_renewal()

    async def _renew_each(self, due: list[HeldTurn]) -> None:
        while due:
            turn = due.pop()
            if turn in self._leased:
                await self._renew(turn)

    async def _renew(self, turn: HeldTurn) -> None:
        """Prolong the lease once; one that is lost is not fought for, one that fails has two more tries."""
        with suppress(MemoryUnavailableError):
            if not await self._store.keep_turn(
                turn.conversation, token=turn.token, ttl_seconds=self._options.lease_seconds
            ):
                self._leased.discard(turn)

    async def _end(self, turn: HeldTurn, place: asyncio.Future[None]) -> None:
        """Give the lease back, also one of which it is not known whether it was given; the next may come."""
        try:
            if turn.commits:
                await asyncio.wait(turn.commits)
            if turn.is_asked_for and not turn.is_given_back:
                await self._store.give_turn(turn.conversation, token=turn.token)
        except MemoryUnavailableError:
            return  # the store told its observer, and the lease ends by itself
        finally:
            self._leave(turn, place)

    def _leave(self, turn: HeldTurn, place: asyncio.Future[None]) -> None:
        """The next may come."""
        self._lines.leave(turn.conversation, place)
        self._leased.discard(turn)
        if not self._leased and self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None


class _Hold:
    """A turn for as long as one is within. A class, not a generator: each query is in one."""

    __slots__ = ("_keeper", "_last_turns", "_run", "_turn")

    def __init__(self, keeper: TurnKeeper, turn: HeldTurn, run: Run, last_turns: int) -> None:
        self._keeper = keeper
        self._turn = turn
        self._run = run
        self._last_turns = last_turns

    async def __aenter__(self) -> HeldTurn:
        await self._keeper.begin(self._turn, self._run, self._last_turns)
        return self._turn

    async def __aexit__(self, *_: object) -> None:
        await self._keeper.end(self._turn, self._run)


class _Lines:
    """Who comes next, by conversation; a conversation that nobody asks in has no entry."""

    def __init__(self) -> None:
        self._lines: dict[ConversationId, list[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"{sum(map(len, self._lines.values()))} in {len(self._lines)} conversations"

    def join(self, conversation: ConversationId) -> asyncio.Future[None]:
        """A place at the end, done once it is the first."""
        line = self._lines.setdefault(conversation, [])
        line.append(asyncio.get_running_loop().create_future())
        self._call(line)
        return line[-1]

    def leave(self, conversation: ConversationId, place: asyncio.Future[None]) -> None:
        """Free ``place``, wherever it is."""
        line = self._lines[conversation]
        line.remove(place)
        if line:
            self._call(line)
        else:
            del self._lines[conversation]

    @staticmethod
    def _call(line: list[asyncio.Future[None]]) -> None:
        if not line[0].done():
            line[0].set_result(None)


def _busy() -> ConflictError:
    detail = "Another question of this conversation is being answered."
    return ConflictError(detail, retry_after_seconds=_RETRY_AFTER_SECONDS)
