"""What the tests of the runtime share: a runner over a scripted program, a watched store and a real pool."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.messages import Answer, ConversationId, Query
from agent_service.core.observer import QueryFinished
from agent_service.core.pool import Pool, PoolOptions
from agent_service.memory.base import StoreOptions, Window
from agent_service.memory.in_memory import InMemoryStore
from agent_service.programs.served import ServedPrograms
from agent_service.runtime.lifecycle import Lifecycle
from agent_service.runtime.runner import Runner, RunnerOptions
from agent_service.runtime.turns import TurnKeeper, TurnOptions
from agent_service.testing import FakeClock, RecordingObserver, ScriptedProgram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from agent_service.core.messages import StoredTurn, Turn
    from agent_service.core.run import Run

SETTLING_TICKS = 50


class WatchedStore(InMemoryStore):
    """Conversations in memory. Notes each call, then does ``before_*``, given the user, if a test says so."""

    def __init__(self, clock: FakeClock, journal: list[str]) -> None:
        super().__init__(StoreOptions(), clock=clock)
        self.before_ping: Callable[[str], Awaitable[None]] | None = None
        self.before_read: Callable[[str], Awaitable[None]] | None = None
        self.before_commit: Callable[[str], Awaitable[None]] | None = None
        self.before_erase: Callable[[str], Awaitable[None]] | None = None
        self._journal = journal

    async def ping(self) -> None:
        """Answer."""
        await self._note("ping", "", self.before_ping)
        await super().ping()

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        """Read."""
        await self._note("read", conversation.user_id, self.before_read)
        return await super().read(conversation, last_turns=last_turns)

    async def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> StoredTurn:
        """Append."""
        await self._note("commit", conversation.user_id, self.before_commit)
        return await super().commit(conversation, turn, base_seq=base_seq, token=token)

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """Forget."""
        await self._note("erase", user_id, self.before_erase)
        return await super().erase(user_id, session_id)

    async def _note(self, operation: str, user: str, before: Callable[[str], Awaitable[None]] | None) -> None:
        self._journal.append(operation)
        if before is not None:
            await before(user)


class Service:
    """A runner and everything around it; ``script`` is what its program does, ``journal`` who was called."""

    def __init__(
        self, *, pool: PoolOptions | None = None, turns: TurnOptions | None = None, **options: Any
    ) -> None:
        self.clock = FakeClock()
        self.journal: list[str] = []
        self.script: Callable[[Run], Awaitable[str]] | None = None
        self.program = ScriptedProgram(self._follow)
        self.programs = ServedPrograms([self.program])
        self.store = WatchedStore(self.clock, self.journal)
        self.turns = TurnKeeper(store=self.store, clock=self.clock, options=turns or TurnOptions())
        self.pool = Pool(pool or PoolOptions(), clock=self.clock)
        self.observer = RecordingObserver()
        self.runner = Runner(
            programs=self.programs,
            store=self.store,
            turns=self.turns,
            pool=self.pool,
            clock=self.clock,
            observer=self.observer,
            options=RunnerOptions(**options),
        )

    @property
    def finished(self) -> list[QueryFinished]:
        """What was told of queries that are over."""
        return self.observer.of(QueryFinished)

    @staticmethod
    async def hang(run: Run) -> str:
        """A script: wait for ever at a seam."""
        with run.interruptible():
            await asyncio.Event().wait()
        raise AssertionError("nothing ends this wait but a stop")

    def begin(
        self, question: str = "Hi?", *, user: str = "ada", timeout_seconds: float | None = None
    ) -> asyncio.Task[Answer]:
        """Somebody asks."""
        query = Query(f"r-{question}", ConversationId(user), question, timeout_seconds)
        return asyncio.create_task(self.runner.answer(query))

    async def begun(
        self, question: str = "Hi?", *, user: str = "ada", timeout_seconds: float | None = None
    ) -> asyncio.Task[Answer]:
        """Somebody asked, and everything that can happen by itself has happened."""
        task = self.begin(question, user=user, timeout_seconds=timeout_seconds)
        await self.settle()
        return task

    async def kept(self, user: str = "ada") -> list[str]:
        """The questions that are stored."""
        window = await InMemoryStore.read(self.store, ConversationId(user), last_turns=1000)
        return [stored.turn.question for stored in window.turns]

    async def settle(self, ticks: int = SETTLING_TICKS) -> None:
        """Everything that can happen by itself happens; or as much of it as so many turns of the loop do."""
        for _ in range(ticks):
            await asyncio.sleep(0)

    async def assert_at_rest(self) -> None:
        """No slot, no place in the queue, no run, no task and no timer is left over."""
        await self.settle()
        assert (self.pool.stats.in_use, self.pool.stats.waiting) == (0, 0)
        assert self.runner.abandoned == 0
        assert repr(self.runner).startswith("<Runner 0 in flight, 0 abandoned")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        timers = [timer for _, _, timer in self.clock._timers]  # noqa: SLF001 - no public count of them
        assert not any(timer._callback for timer in timers)  # noqa: SLF001 - the same

    async def _follow(self, run: Run, inputs: Mapping[str, Any], conversation: Sequence[Turn]) -> str:
        self.journal.append("run")
        return f"You said: {inputs['question']}" if self.script is None else await self.script(run)


class Parts:
    """The lifecycle of a service whose parts note when they start and stop, or fail when told to."""

    def __init__(self, service: Service) -> None:
        self.log: list[str] = []
        self.background: list[Callable[[], Coroutine[object, object, None]]] = []
        self.failing: dict[str, Exception] = {}
        self.service = service
        self.lifecycle = Lifecycle(
            store=_Noting("store", self, service.store),  # type: ignore[arg-type] # passes the rest on
            programs=_Noting("program", self, service.programs),  # type: ignore[arg-type] # passes the rest on
            runner=service.runner,
            clock=service.clock,
            background=self.background,
        )

    async def live(self) -> None:
        """Start and stop at once."""
        async with self.lifecycle.running():
            self.log.append("ready")


class _Noting:
    """A part that notes its start and its end before it does them."""

    def __init__(self, name: str, parts: Parts, part: object) -> None:
        self._name, self._parts, self._part = name, parts, part

    def __getattr__(self, attribute: str) -> object:
        return getattr(self._part, attribute)

    async def start(self) -> None:
        """Note it, or fail."""
        await self._do("start")

    async def close(self) -> None:
        """Note it, or fail."""
        await self._do("close")

    async def _do(self, what: str) -> None:
        self._parts.log.append(f"{what} {self._name}")
        if (error := self._parts.failing.get(f"{what} {self._name}")) is not None:
            raise error
        await getattr(self._part, what)()


@pytest.fixture(scope="session")
def open_service() -> Callable[..., Awaitable[Service]]:
    """Makes a service whose store is open."""

    async def opened(**options: Any) -> Service:
        service = Service(**options)
        await service.store.start()
        return service

    return opened


@pytest.fixture
async def service(open_service: Callable[..., Awaitable[Service]]) -> Service:
    """A service with the standard bounds."""
    return await open_service()


@pytest.fixture
def parts(service: Service) -> Parts:
    """The parts of a service that waits to be started."""
    return Parts(service)
