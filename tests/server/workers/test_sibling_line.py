from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.siblings import Answers, Facts, SiblingsSilentError
from agent_service.server.workers.channel import Channel
from agent_service.server.workers.sibling_line import SiblingLine
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Desk:
    """A line, what it obeyed, and the supervisor's end."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.clock = FakeClock()
        self.supervisor = Channel(ours)
        self.worker = Channel(theirs)
        self.line = SiblingLine(self.worker, clock=self.clock)
        self.orders: asyncio.Queue[str] = asyncio.Queue()

    def open(self) -> None:
        """Listen on the running loop."""
        self.line.open(self.orders.put_nowait)

    async def heard(self) -> dict[str, Any]:
        """The next message at the supervisor's end; there must be just one."""
        for _ in range(1000):
            if messages := self.supervisor.receive():
                (message,) = messages
                return message
            await asyncio.sleep(0)
        raise AssertionError("nothing came")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    asyncio.get_running_loop().remove_reader(desk.worker)
    desk.worker.close()
    desk.supervisor.close()


async def test_a_question_is_answered_with_what_the_siblings_said(desk: Desk) -> None:
    """Several may be open at once: each gets its own answer."""
    desk.open()
    first = asyncio.ensure_future(desk.line.ask("erase", {"user": "ada"}, within_seconds=2.0))
    asked = await desk.heard()
    assert asked == {"ask": 1, "what": "erase", "facts": {"user": "ada"}, "within": 2.0}
    second = asyncio.ensure_future(desk.line.ask("erase", {}, within_seconds=2.0))
    await desk.heard()
    desk.supervisor.send({"answer": 2, "facts": [], "missing": 1})
    desk.supervisor.send({"answer": 1, "facts": [{"ok": True}], "missing": 0})
    assert await second == Answers((), missing=1)
    assert await first == Answers(({"ok": True},))


async def test_silence_is_an_error_after_the_time(desk: Desk) -> None:
    """The supervisor may hang; what asks must not. A late answer is passed over."""
    desk.open()
    asking = asyncio.ensure_future(desk.line.ask("erase", {}, within_seconds=2.0))
    await desk.heard()
    desk.clock.advance(2.5)
    await asyncio.sleep(0)
    assert not asking.done()
    desk.clock.advance(0.5)
    with pytest.raises(SiblingsSilentError):
        await asking
    desk.supervisor.send({"answer": 1, "facts": [], "missing": 0})
    desk.supervisor.send({"order": "stop"})
    assert await desk.orders.get() == "stop"


async def test_what_a_sibling_asks_for_is_done_and_answered(desk: Desk) -> None:
    """By the deed of that name, with its facts."""

    async def double(facts: Facts) -> Facts:
        return {"doubled": 2 * facts["number"]}

    desk.line.answer_with("double", double)
    desk.open()
    desk.supervisor.send({"do": 5, "what": "double", "facts": {"number": 21}})
    assert await desk.heard() == {"did": 5, "facts": {"doubled": 42}}


async def test_a_deed_that_fails_is_no_answer(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the reason; the sibling counts it as missing, and the line goes on."""

    async def fail(_: Facts) -> Facts:
        raise RuntimeError("a bug")

    async def succeed(_: Facts) -> Facts:
        return {}

    desk.line.answer_with("fail", fail)
    desk.line.answer_with("succeed", succeed)
    desk.open()
    desk.supervisor.send({"do": 5, "what": "fail", "facts": {}})
    desk.supervisor.send({"do": 6, "what": "succeed", "facts": {}})
    assert await desk.heard() == {"did": 6, "facts": {}}
    assert "what another worker asked for failed: fail" in caplog.text


async def test_reports_posts_and_notes_are_not_answered(desk: Desk) -> None:
    """Each is one message."""
    desk.open()
    desk.line.report("serving")
    assert await desk.heard() == {"report": "serving"}
    desk.line.post("reset", {})
    assert await desk.heard() == {"ask": None, "what": "reset", "facts": {}, "within": 30.0}
    desk.line.note({"families": []})
    assert await desk.heard() == {"note": {"families": []}}


async def test_a_supervisor_that_does_not_read_gets_no_further_notes(desk: Desk) -> None:
    """What waits for it does not grow with time; the rest goes on when it reads again."""
    desk.open()
    note = {"families": ["x" * 3_000_000]}
    for _ in range(20):
        desk.line.note(note)
    received: list[dict[str, Any]] = []
    while not received:
        await asyncio.sleep(0)
        received = desk.supervisor.receive()
    assert received == [{"note": note}]
    desk.line.report("leaving")
    assert await desk.heard() == {"report": "leaving"}


async def test_orders_and_the_supervisor_s_end_are_passed_on(desk: Desk) -> None:
    """A worker without a supervisor is told so, once."""
    desk.open()
    desk.supervisor.send({"order": "stop"})
    desk.supervisor.close()
    assert [await desk.orders.get(), await desk.orders.get()] == ["stop", "orphaned"]
    await asyncio.sleep(0.01)
    assert desk.orders.empty()
