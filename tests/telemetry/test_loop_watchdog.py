from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.clock import SystemClock
from agent_service.core.observer import LoopBlocked
from agent_service.telemetry.loop_watchdog import LoopWatchdog
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 20.0
"""Longer than the watching thread ever needs; no test that passes waits for it."""


class Watch:
    """A watchdog with a loop on a clock that a test moves; the test looks where its thread would."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.heard = RecordingObserver()
        self.dog = LoopWatchdog(clock=self.clock, observer=self.heard, blocked_seconds=1.0)

    def look(self) -> None:
        """What the thread does at each of its rounds, with this thread in the loop's place."""
        self.dog.look(threading.get_ident())


@pytest.fixture
def watch() -> Watch:
    """A watchdog that saw a sign of life just now; the next is due in a quarter of a second."""
    watching = Watch()
    watching.dog.beat()
    return watching


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, Any]]:
    """What was logged: level, text and how long the loop was blocked."""
    return [
        (record.levelno, record.getMessage(), vars(record)["blocked_ms"])
        for record in caplog.records
        if record.name.endswith("loop_watchdog")
    ]


def test_a_loop_that_turns_is_not_told_of(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """However late a sign of life is, below the limit nobody hears of it."""
    for _ in range(5):
        watch.clock.advance(0.25 + 0.99)
        watch.look()
        watch.dog.beat()
    assert (told(caplog), watch.heard.events) == ([], [])
    assert repr(watch.dog) == "<LoopWatchdog, the loop turns>"


def test_each_blockage_is_told_once_and_so_is_its_end(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """One warning and one event when it is noticed, one line with its length when it is over."""
    caplog.set_level(logging.INFO)
    for _ in range(2):
        watch.clock.advance(0.25 + 1.0)
        watch.look()
        watch.clock.advance(2.0)
        watch.look()
        assert repr(watch.dog) == "<LoopWatchdog, the loop is blocked>"
        watch.dog.beat()
        watch.look()
        watch.look()
    one = [
        (logging.WARNING, "the event loop is blocked", 1000),
        (logging.INFO, "the event loop turns again", 3000),
    ]
    assert told(caplog) == one * 2
    assert watch.heard.events == [LoopBlocked("", 1.0)] * 2


def test_a_long_blockage_is_an_error_once(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """After half a minute it is no hiccup any more; it is still one blockage."""
    for seconds in (1.25, 28.9, 0.1, 60.0):
        watch.clock.advance(seconds)
        watch.look()
    assert told(caplog) == [
        (logging.WARNING, "the event loop is blocked", 1000),
        (logging.ERROR, "the event loop is still blocked", 30000),
    ]
    assert len(watch.heard.events) == 1


def block_until(heard: threading.Event) -> None:
    """Code that somebody wrote, and that does not give way."""
    assert heard.wait(PATIENCE_SECONDS)


class Ear(logging.Handler):
    """Sets an event when a warning is logged, and keeps it; another when all is well again."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.warnings: list[logging.LogRecord] = []
        self.warned = threading.Event()
        self.well = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Hear a line."""
        if record.levelno == logging.INFO:
            self.well.set()
        else:
            self.warnings.append(record)
            self.warned.set()


@pytest.fixture
def ear(caplog: pytest.LogCaptureFixture) -> Iterator[Ear]:
    """Listens to the watchdog."""
    caplog.set_level(logging.INFO)
    logger, listening = logging.getLogger("agent_service.telemetry.loop_watchdog"), Ear()
    logger.addHandler(listening)
    yield listening
    logger.removeHandler(listening)


def test_who_blocks_a_real_loop_is_named_while_it_blocks(ear: Ear) -> None:
    """The loop's thread is shown where it is, by file, line and function; the thread ends with the loop."""
    observer = RecordingObserver()

    async def live() -> None:
        dog = LoopWatchdog(clock=SystemClock(), observer=observer, blocked_seconds=0.04)
        watching = asyncio.create_task(dog.run())
        await asyncio.sleep(0)
        block_until(ear.warned)
        await asyncio.get_running_loop().run_in_executor(None, ear.well.wait, PATIENCE_SECONDS)
        watching.cancel()

    asyncio.run(live())

    frames: list[str] = vars(ear.warnings[0])["frames"]
    line = block_until.__code__.co_firstlineno + 2
    assert f"test_loop_watchdog.py:{line} block_until" in frames
    assert frames[0].split()[-1] == "wait"
    assert len(frames) <= 10
    assert "/" not in "".join(frames)
    assert len(observer.of(LoopBlocked)) >= 1
    for thread in threading.enumerate():
        if thread.name == "loop-watchdog":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
