"""What comes over one connection, however it is cut up, and what makes it unfit for the next request."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from typing import TYPE_CHECKING

import pytest
from dspy._vendor.lm15.transports import ProtocolError, ReadError, TransportError
from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.lm.http.answer import Answer, UnansweredError
from agent_service.programs.lm.http.connection import MAX_HEAD_BYTES
from tests.programs.lm.http.wire import FakeTransport, Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
_ZIPPED = gzip.compress(b"hello")
ANSWERS: dict[str, bytes] = {
    "length": _HEAD + b"Content-Length: 5\r\n\r\nhello",
    "chunks": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nLate: 1\r\n\r\n",
    "announced": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    + _HEAD
    + b"Content-Length: 5\r\n\r\nhello",
    "gzip": _HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(_ZIPPED), _ZIPPED),
}
KEPT = {
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "unchanged": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "old but kept": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
} | ANSWERS
CLOSED = {
    "asked to": _HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "more than the answer": ANSWERS["length"] + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "rubbish after it": ANSWERS["length"] + b"hello",
    "part of another": ANSWERS["chunks"] + b"H",
}
BROKEN = {
    "two lengths": _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a length beside chunks": _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no number": _HEAD + b"Content-Length: five\r\n\r\nhello",
    "a length below nothing": _HEAD + b"Content-Length: -5\r\n\r\nhello",
    "bad chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9\r\n",
    "folded header": _HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
}


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """``data`` in pieces."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


async def seen(answer: Answer) -> tuple[object, ...]:
    """All that a reader sees of an answer."""
    await answer.arrived()
    answer.check_coding()
    return answer.status, answer.reason, answer.http_version, tuple(answer.headers), await answer.read()


@given(name=st.sampled_from(sorted(KEPT)), at=st.lists(st.integers(0, 500)))
async def test_any_cutting_of_an_answer_gives_the_same_answer(name: str, at: list[int]) -> None:
    """The network cuts where it likes; the connection is used again in the end."""
    whole, pieces = Wire(), Wire()
    whole.receive(KEPT[name])
    for piece in cut(KEPT[name], at):
        pieces.receive(piece)
    assert await seen(pieces.answer) == await seen(whole.answer)
    assert pieces.ends == whole.ends == [True]


@given(name=st.sampled_from(sorted(BROKEN)), at=st.lists(st.integers(0, 500)))
async def test_what_could_be_read_in_two_ways_is_an_error(name: str, at: list[int]) -> None:
    """However it is cut up; and nothing is read from that connection again (RFC 9112, 11.2)."""
    wire = Wire()
    for piece in cut(BROKEN[name], at):
        wire.receive(piece)
    with pytest.raises(ProtocolError):
        await seen(wire.answer)
    assert wire.ends == [False]
    assert wire.transport.is_closing()


@pytest.mark.parametrize("name", CLOSED)
async def test_a_connection_that_is_to_end_or_says_too_much_is_not_used_again(name: str) -> None:
    """The answer itself stands; what follows it must not become the next one."""
    wire = Wire()
    wire.receive(CLOSED[name])
    assert (await seen(wire.answer))[-1] == b"hello"
    assert wire.ends == [False]
    assert wire.transport.is_closing()


async def test_what_comes_unasked_for_ends_the_connection() -> None:
    """It would be taken for the answer to the next request."""
    wire = Wire()
    wire.receive(ANSWERS["length"])
    wire.receive(ANSWERS["length"])
    assert wire.transport.is_closing()
    wire.connection.connection_lost(None)
    assert wire.lost == 1


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    """As HTTP/1.0 had it; a connection that breaks is no such end."""
    for error in (None, ConnectionResetError()):
        wire = Wire()
        wire.receive(b"HTTP/1.0 200 OK\r\n\r\nhel")
        wire.receive(b"lo")
        wire.connection.connection_lost(error)
        if error is None:
            assert (await seen(wire.answer))[-1] == b"hello"
        else:
            with pytest.raises(ReadError):
                await seen(wire.answer)


@pytest.mark.parametrize("name", ["length", "chunks"])
async def test_an_end_in_the_middle_is_an_error(name: str) -> None:
    """Half an answer is none."""
    for length in range(1, len(ANSWERS[name])):
        wire = Wire()
        wire.receive(ANSWERS[name][:length])
        wire.connection.connection_lost(None)
        with pytest.raises(ReadError):
            await seen(wire.answer)
        assert wire.ends == [False]


async def test_an_end_before_the_first_byte_is_told_apart() -> None:
    """The request may be made again elsewhere; not after a byte came."""
    wire = Wire()
    wire.connection.connection_lost(None)
    with pytest.raises(UnansweredError):
        await wire.answer.arrived()


async def test_the_answer_to_a_request_for_the_head_has_no_body() -> None:
    """Whatever length it announces."""
    wire = Wire(has_body=False)
    wire.receive(_HEAD + b"Content-Length: 5\r\n\r\n")
    assert (await seen(wire.answer))[-1] == b""
    assert wire.ends == [False]


@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 200 OK\r\nX: ", _HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"HTTP/1.1 200 "],
    ids=["header", "trailer", "reason"],
)
@pytest.mark.parametrize("piece_bytes", [1000, 10 * MAX_HEAD_BYTES])
async def test_a_head_without_end_is_cut(endless: bytes, piece_bytes: int) -> None:
    """It is kept in memory, unlike a body that is read meanwhile."""
    wire = Wire()
    wire.receive(endless)
    for _ in range(0, 2 * MAX_HEAD_BYTES, piece_bytes):
        wire.receive(b"x" * piece_bytes)
    with pytest.raises(ProtocolError, match="head"):
        await seen(wire.answer)
    assert wire.ends == [False]


async def test_a_long_head_is_refused_in_one_piece_too() -> None:
    """The limit is of the head, not of how it comes."""
    wire = Wire()
    wire.receive(b"HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 0\r\n\r\n" % (b"x" * MAX_HEAD_BYTES))
    with pytest.raises(ProtocolError, match="head"):
        await seen(wire.answer)


async def test_an_answer_that_is_left_ends_its_connection() -> None:
    """The rest of it would be in the way; once it is whole there is no rest."""
    wire = Wire()
    wire.receive(ANSWERS["length"][:-1])
    wire.answer.close()
    wire.answer.close()
    assert wire.ends == [False]
    with pytest.raises(TransportError):
        await wire.answer.read()
    wire = Wire()
    wire.receive(ANSWERS["length"])
    wire.answer.close()
    assert wire.ends == [True]


async def test_an_answer_before_the_request_was_sent_whole_is_the_last() -> None:
    """What is still to be sent would stand before the next request."""
    wire = Wire(transport=FakeTransport(pending_bytes=1))
    wire.receive(ANSWERS["length"])
    assert wire.ends == [False]


async def test_one_connection_carries_one_exchange_after_the_other() -> None:
    """Nothing of the last answer is left in the next."""
    wire = Wire()
    for name in [*KEPT, *reversed(KEPT)]:
        alone = Wire()
        alone.receive(KEPT[name])
        wire.receive(KEPT[name])
        assert await seen(wire.answer) == await seen(alone.answer)
        wire.ask()


async def test_whoever_waits_is_woken_by_each_piece() -> None:
    """Events are read as they come."""
    wire = Wire()
    wire.receive(_HEAD + b"Content-Length: 4\r\n\r\n")
    pieces = wire.answer.__aiter__()
    for piece in (b"ab", b"cd"):
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        wire.receive(piece)
        assert await waiting == piece
