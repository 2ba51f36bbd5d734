from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from agent_service.server.workers.channel import MAX_UNSENT_BYTES, Channel, ChannelFullError, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

BIG = "x" * 3_000_000


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a line."""
    one, other = (Channel(end) for end in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages_come_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    """Text with line feeds is one message like any other."""
    one, other = ends
    one.send({"text": "two\nlines"})
    one.send({"number": 2})
    assert other.receive() == [{"text": "two\nlines"}, {"number": 2}]
    assert other.receive() == []
    assert other.is_open


def test_what_does_not_fit_is_kept_and_never_waited_for(ends: tuple[Channel, Channel]) -> None:
    """A long message goes in parts, as the other side reads."""
    one, other = ends
    one.send({"text": BIG})
    received: list[Message] = []
    steps = 0
    while not received:
        received = other.receive()
        one.flush()
        steps += 1
    assert received == [{"text": BIG}]
    assert steps > 1


def test_who_never_reads_is_told_of(ends: tuple[Channel, Channel]) -> None:
    """What waits for a side that does not read is bounded."""
    one, _ = ends
    for _turn in range(MAX_UNSENT_BYTES // len(BIG) + 1):
        one.send({"text": BIG})
    with pytest.raises(ChannelFullError):
        one.send({"text": BIG})


def test_the_end_of_the_other_side_is_noticed_after_its_last_words(ends: tuple[Channel, Channel]) -> None:
    """What was sent before is read; sending to who has gone is harmless."""
    one, other = ends
    one.send({"last": 1})
    one.close()
    assert other.receive() == [{"last": 1}]
    assert not other.is_open
    other.send({"to": "nobody"})
    assert not other.has_unsent


def test_closing_may_wait_for_the_last_words() -> None:
    """The rest is taken by who reads in time, and given up after the time."""
    one, other = (Channel(end) for end in socket.socketpair())
    one.send({"text": BIG})
    one.close(linger_seconds=0.01)
    assert not one.has_unsent
    assert other.receive() == []
    assert not other.is_open
    other.close()
