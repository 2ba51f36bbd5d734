"""Lines on their way to a stream: none is lost, none is late, and few flushes carry them."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest

from agent_service.telemetry.line_handler import LineHandler


class _Stream(io.StringIO):
    """Counts how often it is flushed; raises what a test gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.flushes = 0
        self.failure: OSError | None = None

    def flush(self) -> None:
        """Count."""
        if self.failure is not None:
            raise self.failure
        self.flushes += 1


@pytest.fixture
def stream() -> _Stream:
    """An empty one."""
    return _Stream()


@pytest.fixture
def handler(stream: _Stream) -> LineHandler:
    """Writes to the stream."""
    return LineHandler(stream)


def _say(handler: LineHandler, text: str, level: int = logging.INFO) -> None:
    handler.handle(logging.LogRecord("x", level, __file__, 1, text, None, None))


async def test_the_lines_of_one_turn_of_the_loop_are_written_together(
    handler: LineHandler, stream: _Stream
) -> None:
    """In their order, with one flush, as soon as the loop comes round."""
    for text in "abc":
        _say(handler, text)
    assert stream.getvalue() == ""
    assert repr(handler) == "<LineHandler 3 waiting>"

    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.flushes) == ("a\nb\nc\n", 1)

    _say(handler, "d")
    await asyncio.sleep(0)
    assert stream.getvalue() == "a\nb\nc\nd\n"


async def test_an_error_is_written_at_once_and_after_what_was_said_before(
    handler: LineHandler, stream: _Stream
) -> None:
    """It may be the last that a process says."""
    _say(handler, "a")
    _say(handler, "b", logging.ERROR)

    assert stream.getvalue() == "a\nb\n"


def test_a_line_from_outside_of_an_event_loop_is_written_at_once(
    handler: LineHandler, stream: _Stream
) -> None:
    """Nothing would come round to write it."""
    _say(handler, "a")

    assert (stream.getvalue(), stream.flushes) == ("a\n", 1)


async def test_a_line_from_another_thread_takes_along_what_waits(
    handler: LineHandler, stream: _Stream
) -> None:
    """The event loop may be blocked, and that is what the other thread tells."""
    _say(handler, "a")
    await asyncio.to_thread(_say, handler, "b")

    assert stream.getvalue() == "a\nb\n"


async def test_a_flush_writes_what_waits(handler: LineHandler, stream: _Stream) -> None:
    """As at the interpreter's end."""
    _say(handler, "a")
    handler.flush()

    assert stream.getvalue() == "a\n"


async def test_a_stream_that_fails_harms_nobody_who_logs(
    handler: LineHandler, stream: _Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told on the standard error, as the standard library does; later lines are written again."""
    stream.failure = OSError("disk full")
    _say(handler, "a")
    await asyncio.sleep(0)
    stream.failure = None
    _say(handler, "%d of too few", logging.ERROR)

    assert "disk full" in capsys.readouterr().err
    assert stream.getvalue().endswith("%d of too few\n")
