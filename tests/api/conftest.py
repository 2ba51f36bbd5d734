"""The app over doubles of the use cases, and a client in front of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from agent_service.api.app import ApiOptions, create_app
from agent_service.api.streams.presentation import LastEvents
from agent_service.core.messages import Answer, ConversationId, Query, StoredTurn, Turn, Usage
from agent_service.memory.base import Page, SessionInfo, Window
from agent_service.memory.event_log.base import EventLog, EventLogOptions
from agent_service.memory.event_log.in_memory import InMemoryEventLog
from agent_service.programs.base import ProgramSpec
from agent_service.programs.typed.interface import text_interface
from agent_service.runtime.base import OK, HealthReport, ServiceInfo
from agent_service.runtime.streams.queries import FollowedQueries, StreamOptions
from agent_service.runtime.streams.resuming import KeptStreams, ResumeOptions
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp, Message

    from agent_service.core.observer import Observer


FAKE = ProgramSpec(
    name="fake",
    model="fake-model",
    inputs=("question",),
    outputs=("answer",),
    interface=text_interface(["question"], ["answer"]),
    question_input="question",
    answer_output="answer",
)


class FakeAnswering:
    """Answers as ``script`` says, else repeats the question; keeps every query."""

    def __init__(self) -> None:
        self.queries: list[Query] = []
        self.listener: Observer | None = None
        self.script: Callable[[Query], Awaitable[Answer]] | None = None

    async def answer(self, query: Query, listener: Observer | None = None) -> Answer:
        """Keep the query and follow the script, which finds the listener here."""
        self.listener = listener
        self.queries.append(query)
        if self.script is not None:
            return await self.script(query)
        return self.reply(query)

    def reply(self, query: Query) -> Answer:
        """A plain answer to ``query``."""
        return Answer(
            query=query,
            text=f"You said: {query.question}",
            model="fake-model",
            reasoning_steps=1,
            tools_used=("calculator",),
            usage=Usage(prompt_tokens=10, completion_tokens=5, lm_calls=2),
            latency_seconds=0.1234,
            stored=True,
        )


class FakeStore:
    """Conversations in a dictionary; fails with ``failure`` when a test sets one."""

    backend = "fake"

    def __init__(self) -> None:
        self.turns: dict[ConversationId, list[StoredTurn]] = {}
        self.failure: Exception | None = None

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def ping(self) -> None:
        """Always well."""

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        """The API never reads a window."""
        raise NotImplementedError

    async def commit(self, conversation: ConversationId, turn: Turn, *, base_seq: int) -> StoredTurn:
        """Append."""
        kept = self.turns.setdefault(conversation, [])
        kept.append(StoredTurn(turn=turn, seq=len(kept) + 1, base_seq=base_seq))
        return kept[-1]

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """The newest before ``before_seq``."""
        if self.failure is not None:
            raise self.failure
        kept = self.turns.get(conversation, [])
        older = [turn for turn in kept if before_seq is None or turn.seq < before_seq]
        shown = tuple(older[-limit:])
        return Page(turns=shown, next_before_seq=shown[0].seq if len(older) > len(shown) else None)

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """Forget one or all of a user's."""
        if self.failure is not None:
            raise self.failure
        gone = [at for at in self.turns if at.user_id == user_id and session_id in {None, at.session_id}]
        return sum(len(self.turns.pop(at)) for at in gone)

    async def sessions(
        self, user_id: str, *, limit: int, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """In the order of their ids."""
        if self.failure is not None:
            raise self.failure
        found = sorted(
            (at.session_id, kept)
            for at, kept in self.turns.items()
            if at.user_id == user_id and (after is None or at.session_id > after)
        )
        return tuple(
            SessionInfo(session_id, len(kept), kept[-1].seq, kept[-1].turn.at_epoch_seconds)
            for session_id, kept in found[:limit]
        )


class FakeVitals:
    """As well as a test wants."""

    def __init__(self) -> None:
        self.report = HealthReport(
            status="healthy",
            version="1.2.3",
            uptime_seconds=12.5,
            agent_pool_size=4,
            circuit_breaker_state="closed",
            model="fake-model",
            checks={"python_runtime": OK, "agent_pool": OK, "circuit_breaker": OK, "memory": OK},
        )
        self.reason: str | None = None
        self.resets = 0

    async def health(self) -> HealthReport:
        """The report a test set."""
        return self.report

    def not_ready_because(self) -> str | None:
        """The reason a test set."""
        return self.reason

    def info(self) -> ServiceInfo:
        """Made-up names."""
        return ServiceInfo(
            name="agent-service",
            version="1.2.3",
            program="fake",
            model="fake-model",
            programs=("fake",),
        )

    def reset_circuit_breaker(self) -> str:
        """Count the resets."""
        self.resets += 1
        return "closed"


class Connection:
    """One request at the ASGI level: a test says what arrives when, and sees what is sent."""

    def __init__(self, app: ASGIApp, path: str, **scope: Any) -> None:
        self.sent: list[Message] = []
        self._app = app
        self._arriving: asyncio.Queue[Message] = asyncio.Queue()
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            **scope,
        }

    def arrives(self, body: bytes, *, more_body: bool = False) -> None:
        """A piece of the body is there."""
        self._arriving.put_nowait({"type": "http.request", "body": body, "more_body": more_body})

    def client_leaves(self) -> None:
        """The connection is gone."""
        self._arriving.put_nowait({"type": "http.disconnect"})

    @property
    def body_parts_unread(self) -> int:
        """What the app did not ask for."""
        return self._arriving.qsize()

    async def serve(self) -> None:
        """Let the app work until it is done."""
        await self._app(self._scope, self._arriving.get, self._send)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def _exposition(_accept: str) -> tuple[bytes, str]:
    return b"agent_pool_size 4.0\n", "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Service:
    """The app and everything behind it."""

    answering: FakeAnswering = field(default_factory=FakeAnswering)
    store: FakeStore = field(default_factory=FakeStore)
    vitals: FakeVitals = field(default_factory=FakeVitals)
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    clock: FakeClock = field(default_factory=FakeClock)
    options: ApiOptions = field(default_factory=ApiOptions)
    programs: tuple[ProgramSpec, ...] = (FAKE,)
    stream_options: StreamOptions = field(default_factory=StreamOptions)
    log: EventLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = InMemoryEventLog(EventLogOptions(), clock=self.clock)

    def app(self, **overrides: Any) -> ASGIApp:
        """The app over these doubles."""
        collaborators: dict[str, Any] = {
            "answering": self.answering,
            "following": self.following(),
            "resuming": KeptStreams(log=self.log, clock=self.clock, options=ResumeOptions()),
            "remembering": self.store,
            "vitals": self.vitals,
            "expose_metrics": _exposition,
            "observer": self.observer,
            "clock": self.clock,
            "options": self.options,
            "programs": self.programs,
        }
        return create_app(**{**collaborators, **overrides})

    def following(self) -> FollowedQueries:
        """Streams of the queries that ``answering`` answers."""
        return FollowedQueries(
            answering=self.answering,
            presentation=LastEvents(),
            clock=self.clock,
            observer=self.observer,
            options=self.stream_options,
        )

    def client(self, **overrides: Any) -> httpx.AsyncClient:
        """A client whose requests go straight to the app; close it."""
        transport = httpx.ASGITransport(self.app(**overrides))
        return httpx.AsyncClient(transport=transport, base_url="http://service")

    def connection(self, path: str, **scope: Any) -> Connection:
        """A raw request to the app; POST with a JSON content type unless ``scope`` says otherwise."""
        return Connection(self.app(), path, **scope)


@pytest.fixture
def service() -> Service:
    """The doubles of one test."""
    return Service()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service with default options."""
    async with service.client() as client:
        yield client
