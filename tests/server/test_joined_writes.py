from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.server.joined_writes import JoinedWrites

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wire(asyncio.Transport):
    """A transport that writes down what it is asked to send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note one piece."""
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Note pieces that leave as one."""
        self.sent.append(b"".join(list_of_data))

    def close(self) -> None:
        """Note the end."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it came."""
        return self.closed


@pytest.fixture
def wire() -> Wire:
    """Nothing was sent yet."""
    return Wire()


@pytest.fixture
async def writes(wire: Wire) -> JoinedWrites:
    """What writes to it, on the running loop."""
    return JoinedWrites(wire, asyncio.get_running_loop())


async def test_head_and_body_are_sent_as_one(wire: Wire, writes: JoinedWrites) -> None:
    """And what follows them as it comes."""
    for piece in (b"head", b"body", b"more", b"end"):
        writes.write(piece)
    assert wire.sent == [b"headbody", b"more", b"end"]


async def test_a_head_does_not_wait_for_a_body_that_does_not_come(wire: Wire, writes: JoinedWrites) -> None:
    """A stream's head is sent before its first event is there."""
    writes.write(b"head")
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [b"head"]
    writes.write(b"event")
    assert wire.sent == [b"head", b"event"]


async def test_an_answer_without_a_body_is_sent_when_it_is_over(wire: Wire, writes: JoinedWrites) -> None:
    """Or it could come behind the next one."""
    writes.write(b"head")
    writes.end_answer()
    assert wire.sent == [b"head"]


async def test_the_next_answer_is_joined_too(wire: Wire, writes: JoinedWrites) -> None:
    """Each of a connection's answers has a head of its own, and the turn of the loop sends nothing twice."""
    for _ in range(2):
        writes.write(b"head")
        writes.write(b"body")
        writes.end_answer()
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody", b"headbody"]


async def test_what_waits_is_sent_before_the_connection_is_closed(wire: Wire, writes: JoinedWrites) -> None:
    """An answer that ends its connection is whole."""
    writes.write(b"head")
    writes.close()
    assert (wire.sent, writes.is_closing()) == ([b"head"], True)


async def test_nothing_is_sent_to_a_client_that_has_left(wire: Wire, writes: JoinedWrites) -> None:
    """A transport complains of it."""
    writes.write(b"head")
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.sent == []
