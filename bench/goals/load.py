"""Closed-loop clients over raw HTTP/1.1: each keeps one connection and one query in flight.

They cost some tens of microseconds a query, so that one core can load several others.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

USERS_PER_CLIENT = 2
"""Conversations are of some turns, and never two queries in flight in one."""

PROBE_EVERY_SECONDS = 0.05
_STATUS = slice(len("HTTP/1.1 "), len("HTTP/1.1 200"))
_OK = 200
_HTTP_PORT = 80
_LENGTH = re.compile(rb"\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """When an answer came, how long after its request, and its status."""

    at_seconds: float
    latency_seconds: float
    status: int


@dataclass(slots=True)
class Answers:
    """What came back in one measurement."""

    seconds: float
    queries: list[Answer]
    probes: list[Answer] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return sum(answer.status == _OK for answer in self.queries) / self.seconds

    @property
    def failed(self) -> int:
        """How many were not answered well."""
        return sum(answer.status != _OK for answer in self.queries)

    def p(self, percent: float) -> float:
        """A percentile of the queries' latencies, in seconds."""
        return percentile([answer.latency_seconds for answer in self.queries], percent)

    def probe_p(self, percent: float) -> float:
        """The same of the probes."""
        return percentile([probe.latency_seconds for probe in self.probes], percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of a hundred lie, by the nearest rank; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def response_in(buffer: bytearray) -> int | None:
    """Take the first whole response out of ``buffer`` and return its status; None while it is not all there.

    Raises:
        ValueError: when it does not say how long it is.
    """
    end = buffer.find(_END_OF_HEAD)
    if end < 0:
        return None
    head = bytes(buffer[:end])
    if (found := _LENGTH.search(head)) is None:
        raise ValueError(f"a response without a Content-Length: {head!r}")
    stop = end + len(_END_OF_HEAD) + int(found[1])
    if len(buffer) < stop:
        return None
    del buffer[:stop]
    return int(head[_STATUS])


def query_request(client: int, number: int) -> bytes:
    """The ``number``-th query of a client."""
    user = f"user-{client}-{number % USERS_PER_CLIENT}"
    body = orjson.dumps({"user_id": user, "question": f"What is {number}+{client}?"})
    head = "POST /api/v1/query HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def probe_request(_client: int, _number: int) -> bytes:
    """A liveness probe."""
    return b"GET /api/v1/live HTTP/1.1\r\nhost: bench\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection, which asks until it is told to stop.

    Args:
        number: which client it is.
        request: makes the n-th request of a client.
        answers: gets each answer.
        pause_seconds: between an answer and the next request.
    """

    _transport: asyncio.Transport

    def __init__(
        self,
        number: int,
        request: Callable[[int, int], bytes],
        answers: list[Answer],
        *,
        pause_seconds: float = 0.0,
    ) -> None:
        self._number = number
        self._request = request
        self._answers = answers
        self._pause_seconds = pause_seconds
        self._asked = 0
        self._asked_at_seconds = 0.0
        self._is_stopping = False
        self._buffer = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Client {self._number}, {self._asked} asked>"

    def stop(self) -> None:
        """Ask nothing more; ``done`` is set when the last answer is there."""
        self._is_stopping = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first."""
        self._transport = transport  # type: ignore[assignment] # a stream's is one that writes
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Note the answer and ask the next."""
        self._buffer += data
        if (status := response_in(self._buffer)) is None:
            return
        at_seconds = time.perf_counter()
        self._answers.append(Answer(at_seconds, at_seconds - self._asked_at_seconds, status))
        if self._pause_seconds and not self._is_stopping:
            asyncio.get_running_loop().call_later(self._pause_seconds, self._ask)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody closes a connection here but ourselves."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed a connection"))

    def _ask(self) -> None:
        if self._is_stopping:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._asked_at_seconds = time.perf_counter()
        self._transport.write(self._request(self._number, self._asked))
        self._asked += 1


class Load:
    """So many clients against one server; use it as an async context.

    Args:
        url: the server.
        clients: queries in flight.
        ramp_seconds: the clients start evenly over so long.
        probing: ask for liveness too, on a connection of its own.
    """

    def __init__(self, url: str, clients: int, *, ramp_seconds: float = 0.0, probing: bool = False) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port or _HTTP_PORT
        self._count = clients
        self._ramp_seconds = ramp_seconds
        self._probing = probing
        self._clients: list[Client] = []
        self.queries: list[Answer] = []
        self.probes: list[Answer] = []

    def __repr__(self) -> str:
        return f"<Load of {self._count} clients on {self._host}:{self._port}>"

    async def __aenter__(self) -> Self:
        for number in range(self._count):
            await self._connect(number, query_request, self.queries)
            if self._ramp_seconds:
                await asyncio.sleep(self._ramp_seconds / self._count)
        if self._probing:
            await self._connect(0, probe_request, self.probes, pause_seconds=PROBE_EVERY_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.stop()
        await asyncio.gather(*(client.done for client in self._clients))

    async def _connect(
        self,
        number: int,
        request: Callable[[int, int], bytes],
        answers: list[Answer],
        *,
        pause_seconds: float = 0.0,
    ) -> None:
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(number, request, answers, pause_seconds=pause_seconds),
            self._host,
            self._port,
        )
        self._clients.append(client)

    async def for_seconds(self, seconds: float) -> Answers:
        """What is answered within the next ``seconds``."""
        first, first_probe, began = len(self.queries), len(self.probes), time.perf_counter()
        await asyncio.sleep(seconds)
        return Answers(time.perf_counter() - began, self.queries[first:], self.probes[first_probe:])

    async def until(self, queries: int, on_progress: Callable[[int], object] = lambda _: None) -> None:
        """Return when so many queries were answered; ``on_progress`` hears how many there are."""
        while len(self.queries) < queries:
            for client in self._clients:
                if client.done.done():
                    client.done.result()
            await asyncio.sleep(0.05)
            on_progress(len(self.queries))
