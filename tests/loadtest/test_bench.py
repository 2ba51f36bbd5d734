from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from agent_service.core.clock import SystemClock
from agent_service.loadtest.bench import Bench, BenchOptions
from agent_service.loadtest.client import Endpoint
from agent_service.loadtest.load import ClosedLoop, Extent, Load
from agent_service.loadtest.stage.process import StageError
from agent_service.loadtest.stage.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.loadtest.load import Sample


class Answering:
    """Two servers that note who was asked; from ``hangs_from`` on they do not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hangs_from = 10_000
        self.hanging = asyncio.Event()
        self.status = 200
        self.servers: list[Server] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path[1:])
        if len(self.asked) >= self.hangs_from:
            self.hanging.set()
            await asyncio.Event().wait()
        return web.json_response({"error": "unauthorized"}, status=self.status)


class Shown:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.counts: list[int] = []
        self.ended = 0

    def begin(self, title: str, extent: Extent) -> None:
        self.titles.append(title)

    def show(self, elapsed_seconds: float, samples: list[Sample]) -> None:
        self.counts.append(len(samples))

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    found = Answering()
    app = web.Application()
    app.router.add_post("/{name}", found.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    found.servers = [Server(name, Endpoint(f"{address}/{name}", lambda _: {})) for name in ("a", "b")]
    yield found
    await runner.cleanup()


def _bench(answering: Answering, shown: Shown, *loads: Load, rounds: int = 1, queries: int = 4) -> Bench:
    return Bench(
        servers=answering.servers,
        model=None,
        options=BenchOptions(loads, Extent(queries=queries), rounds=rounds, warm_up_seconds=0),
        progress=shown,
        clock=SystemClock(),
        random=Random(1),
    )


async def test_servers_take_turns_in_rounds(answering: Answering) -> None:
    """What a noisy machine does to one, it does to the other."""
    shown = Shown()
    bench = _bench(answering, shown, ClosedLoop(1), ClosedLoop(2), rounds=2)
    await bench.run()
    one_load = ["a", "a", "b", "b"] * 2
    assert answering.asked == ["a", "b", *one_load, *one_load]
    assert [(one.server, str(one.load), one.answered) for one in bench.summaries()] == [
        ("a", "1 client", 4),
        ("b", "1 client", 4),
        ("a", "2 clients", 4),
        ("b", "2 clients", 4),
    ]


async def test_each_stretch_is_shown_to_its_end(answering: Answering) -> None:
    """Its name, and how many were answered."""
    shown = Shown()
    await _bench(answering, shown, ClosedLoop(2)).run()
    assert shown.titles == ["a, 2 clients", "b, 2 clients"]
    assert shown.counts == [4, 4]
    assert shown.ended == 2


async def test_a_server_that_does_not_answer_is_told_before_anything_is_measured(
    answering: Answering,
) -> None:
    """A wrong key or address is no load test."""
    answering.status = 401
    with pytest.raises(StageError, match=r"a at http://.*/a does not answer: unauthorized"):
        await _bench(answering, Shown(), ClosedLoop(1)).run()
    assert answering.asked == ["a"]


async def test_an_interruption_keeps_what_was_measured(answering: Answering) -> None:
    """Ctrl-C is how long load tests end."""
    answering.hangs_from = 9
    shown = Shown()
    bench = _bench(answering, shown, ClosedLoop(1))
    running = asyncio.create_task(bench.run())
    await answering.hanging.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(one.server, one.answered) for one in bench.summaries()] == [("a", 4), ("b", 2)]
    assert shown.ended == 2


async def test_a_server_is_warmed_up_before_it_is_measured(answering: Answering) -> None:
    """With the first load; what that takes is no part of the figures."""
    shown = Shown()
    bench = Bench(
        servers=answering.servers,
        model=None,
        options=BenchOptions((ClosedLoop(1),), Extent(queries=2), warm_up_seconds=0.05),
        progress=shown,
        clock=SystemClock(),
        random=Random(1),
    )
    await bench.run()
    assert shown.titles == ["warm-up of a", "warm-up of b", "a, 1 client", "b, 1 client"]
    assert len(answering.asked) > 2 + 4
    assert [one.queries for one in bench.summaries()] == [2, 2]


def test_options_that_measure_nothing_are_refused() -> None:
    """No load, no round, no time before the start."""
    with pytest.raises(ValueError, match="bench"):
        BenchOptions((), Extent(queries=1))
    with pytest.raises(ValueError, match="bench"):
        BenchOptions((ClosedLoop(1),), Extent(queries=1), rounds=0)
    with pytest.raises(ValueError, match="bench"):
        BenchOptions((ClosedLoop(1),), Extent(queries=1), warm_up_seconds=-1)
