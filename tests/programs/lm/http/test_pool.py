"""The pool: whatever happens to its connections, no place is lost and none is given twice."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
from dspy._vendor.lm15.transports import ConnectError, TransportError
from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.lm.http.answer import Answer
from agent_service.programs.lm.http.connector import Origin
from agent_service.programs.lm.http.pool import ConnectionPool
from tests.programs.lm.http.wire import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.programs.lm.http.connection import Connection

HERE, THERE = Origin(False, "here", 80), Origin(True, "there", 443)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


class Doors:
    """Opens connections without a network, unless it is told to fail."""

    def __init__(self) -> None:
        self.opened: list[Connection] = []
        self.transports: dict[Connection, FakeTransport] = {}
        self.fails = False

    async def connect(self, origin: Origin, make: Callable[[], Connection]) -> Connection:
        """One more, a moment later."""
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectError(f"no connection to {origin.host}")
        connection, transport = make(), FakeTransport()
        connection.connection_made(transport)
        transport.when_closed = partial(connection.connection_lost, None)
        self.opened.append(connection)
        self.transports[connection] = transport
        return connection

    def open(self) -> list[Connection]:
        """Those that are still open."""
        return [connection for connection in self.opened if connection.is_open]


class World:
    """A pool, calls that use it, and a provider that does what it likes."""

    def __init__(self, max_connections: int) -> None:
        self.doors = Doors()
        self.max_connections = max_connections
        self.pool = ConnectionPool(max_connections=max_connections, connector=self.doors)
        self.calls: list[asyncio.Task[bytes]] = []
        self.asked: dict[Connection, Answer] = {}

    async def call(self, origin: Origin) -> bytes:
        """One call as the client makes it."""
        connection = await self.pool.take(origin)
        assert connection not in self.asked, "one connection, two exchanges"
        assert sum(other.is_open for other in self.asked) < self.max_connections
        answer = Answer(max_body_bytes=100)
        self.asked[connection] = answer
        connection.ask((b"x",), answer)
        try:
            await answer.arrived()
            return await answer.read()
        finally:
            answer.close()
            if self.asked.get(connection) is answer:
                del self.asked[connection]

    def do(self, action: str, number: int) -> None:
        """One thing that may happen."""
        opened = self.doors.open()
        asked = [connection for connection in self.asked if connection.is_open]
        if action in {"call here", "call there"}:
            origin = HERE if action == "call here" else THERE
            self.calls.append(asyncio.ensure_future(self.call(origin)))
        elif action == "cancel" and self.calls:
            self.calls[number % len(self.calls)].cancel()
        elif action in {"answer", "last answer", "half an answer"} and asked:
            data = {"answer": WHOLE, "last answer": LAST, "half an answer": WHOLE[:-1]}[action]
            self.receive(asked[number % len(asked)], data)
        elif action == "unasked" and opened:
            opened[number % len(opened)].data_received(b"x")
        elif action == "lose" and opened:
            self.doors.transports[opened[number % len(opened)]].abort()
        elif action == "doors":
            self.doors.fails = not self.doors.fails

    def receive(self, connection: Connection, data: bytes) -> None:
        """Let ``data`` come; what is whole then is no exchange any more."""
        connection.data_received(data)
        answer = self.asked.get(connection)
        if answer is not None and (answer.is_complete or answer.error is not None):
            del self.asked[connection]


ACTIONS = ("call here", "call there", "cancel", "answer", "last answer", "half an answer", "unasked")
STEPS = st.tuples(st.sampled_from([*ACTIONS, "lose", "doors", "turn", "turn"]), st.integers(0, 20))


@given(steps=st.lists(STEPS, max_size=60), max_connections=st.integers(1, 4))
async def test_no_place_is_lost_whatever_happens(steps: list[tuple[str, int]], max_connections: int) -> None:
    """Calls, cancellations, answers and failures in any order; in the end all places are free."""
    world = World(max_connections)
    for action, number in steps:
        if action == "turn":
            await asyncio.sleep(0)
        else:
            world.do(action, number)
    for call in world.calls:
        call.cancel()
    await asyncio.gather(*world.calls, return_exceptions=True)
    await asyncio.sleep(0)
    assert world.pool.free == max_connections
    assert world.pool.idle == len(world.doors.open())
    world.doors.fails = False
    last = asyncio.ensure_future(world.call(HERE))
    for _ in range(5):
        await asyncio.sleep(0)
    (connection,) = world.asked
    world.receive(connection, WHOLE)
    assert await last == b"ok"
    await world.pool.aclose()
    assert world.doors.open() == []


async def answered(world: World, *calls: asyncio.Task[bytes]) -> None:
    """Answer whoever asks until ``calls`` have ended."""
    while not all(call.done() for call in calls):
        await asyncio.sleep(0)
        for connection in list(world.asked):
            world.receive(connection, WHOLE)


async def test_the_last_used_connection_is_the_next_and_each_origin_has_its_own() -> None:
    """So that those which were needed at a peak grow old; a key never goes to another host."""
    world = World(2)
    calls = [asyncio.ensure_future(world.call(HERE)) for _ in range(2)]
    await answered(world, *calls)
    first, second = world.doors.opened
    assert await world.pool.take(HERE) is second
    other = await world.pool.take(THERE)
    assert other not in {first, second}


async def test_those_who_wait_have_their_turn_in_order() -> None:
    """First come, first served."""
    world, ended = World(1), list[asyncio.Task[bytes]]()
    calls = [asyncio.ensure_future(world.call(HERE)) for _ in range(5)]
    for call in calls:
        call.add_done_callback(ended.append)
    await answered(world, *calls)
    await asyncio.sleep(0)
    assert ended == calls
    assert len(world.doors.opened) == 1


async def test_not_everybody_may_wait() -> None:
    """Behind thousands the time is over anyway."""
    world = World(1)
    calls = [asyncio.ensure_future(world.call(HERE)) for _ in range(4097)]
    await asyncio.sleep(0)
    with pytest.raises(TransportError, match="too many"):
        await world.pool.take(HERE)
    await world.pool.aclose()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_an_unused_connection_is_closed_in_time() -> None:
    """Before a load balancer does; one that was used meanwhile stays."""
    doors = Doors()
    pool = ConnectionPool(max_connections=2, connector=doors, idle_seconds=0.02)
    world = World(2)
    world.pool, world.doors = pool, doors
    await answered(world, *[asyncio.ensure_future(world.call(HERE)) for _ in range(2)])
    assert pool.idle == len(doors.open()) == 2
    for _ in range(200):
        await asyncio.sleep(0.005)
        if not pool.idle:
            break
    assert pool.idle == len(doors.open()) == 0
    await pool.aclose()


async def test_the_end_is_the_end_for_all() -> None:
    """In use, waiting, idle, or on the way: all are told, and nothing stays open."""
    world = World(2)
    await answered(world, asyncio.ensure_future(world.call(THERE)))
    calls = [asyncio.ensure_future(world.call(HERE)) for _ in range(4)]
    for _ in range(3):
        await asyncio.sleep(0)
    late = asyncio.ensure_future(world.pool.take(HERE))
    await world.pool.aclose()
    for ended in await asyncio.gather(*calls, late, return_exceptions=True):
        assert isinstance(ended, TransportError)
    with pytest.raises(TransportError, match="closed"):
        await world.pool.take(HERE)
    assert world.doors.open() == []


async def test_a_place_that_is_given_to_somebody_who_just_left_is_not_lost() -> None:
    """The turn came and the cancellation too, before the one who waited could run."""
    world = World(1)
    first, second = (asyncio.ensure_future(world.call(HERE)) for _ in range(2))
    for _ in range(3):
        await asyncio.sleep(0)
    (connection,) = world.asked
    world.receive(connection, WHOLE)
    second.cancel()
    await asyncio.wait([first, second])
    assert second.cancelled()
    assert world.pool.free == 1
