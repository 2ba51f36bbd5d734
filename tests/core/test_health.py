"""Rules of the health report: every check answers in time, or the report says that it did not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.health import Health

if TYPE_CHECKING:
    from agent_service.testing import FakeClock


async def well() -> str:
    """Nothing is wrong."""
    return "ok"


async def hanging() -> str:
    """No answer, ever."""
    await asyncio.Event().wait()
    return "ok"


async def some_turns() -> None:
    """Let every task run up to its wait."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_each_check_speaks_for_itself(clock: FakeClock) -> None:
    """What a check says is reported under its name, in the order they were given."""

    async def busy() -> str:
        return "failed: no agents available"

    health = Health({"python_runtime": well, "agent_pool": busy}, clock=clock)
    report = await health.report()
    assert list(report.items()) == [("python_runtime", "ok"), ("agent_pool", "failed: no agents available")]
    assert repr(health) == "<Health of python_runtime, agent_pool>"


async def test_without_checks_the_report_is_empty(clock: FakeClock) -> None:
    """Nothing to ask is nothing wrong."""
    assert await Health({}, clock=clock).report() == {}


async def test_checks_are_asked_all_at_once(clock: FakeClock) -> None:
    """The report takes as long as the slowest check, not as long as all of them."""
    met = asyncio.Event()

    async def first() -> str:
        await met.wait()
        return "ok"

    async def second() -> str:
        met.set()
        return "ok"

    assert await Health({"a": first, "b": second}, clock=clock).report() == {"a": "ok", "b": "ok"}


async def test_a_check_that_does_not_answer_has_failed(clock: FakeClock) -> None:
    """At the time limit the report is made without it, with the others' answers."""
    health = Health({"memory": hanging, "agent_pool": well}, timeout_seconds=1.0, clock=clock)
    report = asyncio.create_task(health.report())
    await some_turns()
    clock.advance(0.9)
    await some_turns()
    assert not report.done()
    clock.advance(0.1)
    assert await report == {"memory": "failed: no answer within 1 s", "agent_pool": "ok"}


async def test_a_check_that_does_not_heed_its_cancellation_is_left_behind(clock: FakeClock) -> None:
    """The report does not wait for what ignores its end."""
    over = asyncio.Event()

    async def stubborn() -> str:
        try:
            await over.wait()
        except asyncio.CancelledError:
            await over.wait()
        return "ok"

    report = asyncio.create_task(Health({"memory": stubborn}, timeout_seconds=2.5, clock=clock).report())
    await some_turns()
    clock.advance(2.5)
    assert await report == {"memory": "failed: no answer within 2.5 s"}
    over.set()
    await some_turns()


async def test_a_late_check_is_cancelled(clock: FakeClock) -> None:
    """A check that hangs at each probe leaves no task behind."""
    cancelled = asyncio.Event()

    async def polite() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "ok"

    report = asyncio.create_task(Health({"memory": polite}, clock=clock).report())
    await some_turns()
    clock.advance(1.0)
    await report
    await cancelled.wait()


async def test_an_error_for_callers_is_shown_and_its_cause_logged(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A typed error's detail was written for anybody to read; what is behind it is for the log."""

    async def down() -> str:
        raise MemoryUnavailableError("The store is away.") from OSError("redis://secret@host")

    report = await Health({"memory": down}, clock=clock).report()
    assert report == {"memory": "failed: The store is away."}
    assert "redis://secret@host" in caplog.text


async def test_any_other_error_is_logged_and_not_shown(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Internal text never reaches the report; the log has it."""

    async def broken() -> str:
        raise KeyError("/srv/private")

    report = await Health({"memory": broken, "agent_pool": well}, clock=clock).report()
    assert report == {"memory": "failed", "agent_pool": "ok"}
    assert "/srv/private" in caplog.text


async def test_a_check_that_was_cancelled_within_has_failed(clock: FakeClock) -> None:
    """A connection that is closed under a check does not end the report."""

    async def cancelled() -> str:
        raise asyncio.CancelledError

    report = await Health({"memory": cancelled, "agent_pool": well}, clock=clock).report()
    assert report == {"memory": "failed", "agent_pool": "ok"}


async def test_who_leaves_takes_the_checks_along(clock: FakeClock) -> None:
    """When the one who asked is cancelled, so are the checks."""
    ended = asyncio.Event()

    async def polite() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "ok"

    report = asyncio.create_task(Health({"memory": polite}, clock=clock).report())
    await some_turns()
    report.cancel()
    with pytest.raises(asyncio.CancelledError):
        await report
    await ended.wait()
