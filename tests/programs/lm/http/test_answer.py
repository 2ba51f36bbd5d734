"""What a reader has of an answer, whatever the connection does."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from dspy._vendor.lm15.transports import ProtocolError, ReadError

from agent_service.programs.lm.http.answer import Answer


def begun(*fields: tuple[bytes, bytes], max_body_bytes: int = 10) -> Answer:
    """An answer whose head is there."""
    answer = Answer(max_body_bytes=max_body_bytes)
    answer.begin(200, b"OK", "1.1", list(fields))
    answer.check_coding()
    return answer


async def test_the_head_is_told_as_it_came() -> None:
    """Repeated headers too, and bytes that are no text."""
    answer = begun((b"A", b"1"), (b"a", b"\xff"))
    await answer.arrived()
    assert answer.headers == [("A", "1"), ("a", "\udcff")]
    assert (answer.status, answer.reason, answer.http_version) == (200, "OK", "HTTP/1.1")
    assert answer.headers_all("A") == ["1", "\udcff"]


async def test_a_body_may_be_as_long_as_the_limit_and_no_longer() -> None:
    """What is over it fails, and what came before is let go of."""
    answer = begun()
    answer.add(b"12345")
    answer.add(b"67890")
    answer.end()
    assert await answer.read() == b"1234567890"
    answer = begun()
    answer.add(b"1234567890")
    answer.add(b"1")
    answer.end()
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        await answer.read()


async def test_the_limit_is_of_the_unfolded_body() -> None:
    """Read whole, or in pieces."""
    packed = gzip.compress(b"x" * 100_000)
    for limit_bytes in (99_999, 100_000):
        for whole in (True, False):
            answer = begun((b"Content-Encoding", b"gzip"), max_body_bytes=limit_bytes)
            answer.add(packed)
            answer.end()
            reading = answer.read() if whole else joined(answer)
            if limit_bytes == 100_000:
                assert await reading == b"x" * 100_000
            else:
                with pytest.raises(ProtocolError, match="longer"):
                    await reading


async def joined(answer: Answer) -> bytes:
    """The pieces of the body, one after the other."""
    return b"".join([piece async for piece in answer])


async def test_the_first_failure_stays() -> None:
    """And a whole answer does not fail any more."""
    answer = begun()
    answer.fail(ReadError("first"))
    answer.fail(ReadError("second"))
    for _ in range(2):
        with pytest.raises(ReadError, match="first"):
            await answer.read()
    answer = begun()
    answer.end()
    answer.fail(ReadError("late"))
    assert await answer.read() == b""


async def test_pieces_that_came_before_a_failure_are_still_handed_on_by_then() -> None:
    """A reader who is at work when it breaks is told, and does not take the pieces for the whole."""
    answer = begun()
    answer.add(b"12")
    pieces = answer.__aiter__()
    assert await anext(pieces) == b"12"
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    answer.fail(ReadError("broke"))
    with pytest.raises(ReadError):
        await waiting


async def test_a_reader_who_leaves_does_not_hinder_what_comes() -> None:
    """It is cancelled; the connection goes on until it is told."""
    answer = begun()
    waiting = asyncio.ensure_future(answer.read())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    answer.add(b"1")
    answer.end()
    assert await answer.read() == b"1"
