from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, NoReturn

import pytest

from agent_service.server.process import ProcessOptions
from agent_service.server.workers.channel import MAX_UNSENT_BYTES
from agent_service.server.workers.crew import Crew
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_service.core.siblings import Siblings


def _never(_: Siblings) -> NoReturn:
    """A service that is never built."""
    while True:
        signal.pause()


@pytest.fixture
def crew() -> Iterator[Crew]:
    """A crew whose workers never come to serve."""
    listener = socket.create_server(("127.0.0.1", 0))
    crew = Crew(listener=listener, build=_never, options=ProcessOptions())
    yield crew
    crew.kill()
    wait_until("all have ended", lambda: not list(crew.reap()) and not crew.channels())
    listener.close()


def _ended(crew: Crew, pid: int) -> int:
    """The status that a worker ends with."""
    found: dict[int, int] = {}

    def has_ended() -> bool:
        found.update({number: status for number, status, _ in crew.reap()})
        return pid in found

    wait_until("it ends", has_ended)
    return found[pid]


def test_a_worker_ends_by_signal_before_it_serves(crew: Crew) -> None:
    """SIGTERM during a start is a quick end with status 0, and the line ends with the process."""
    pid = crew.start()
    other = crew.start()
    assert set(crew.channels()) == {pid, other}
    crew.signal(pid, signal.SIGTERM)
    assert _ended(crew, pid) == 0
    assert set(crew.channels()) == {other}
    crew.signal(pid, signal.SIGTERM)
    crew.send(pid, {"order": "stop"})


def test_a_worker_that_never_reads_is_killed(crew: Crew) -> None:
    """What waits for it is bounded, and the supervisor never waits."""
    pid = crew.start()
    for _ in range(4):
        crew.send(pid, {"text": "x" * (MAX_UNSENT_BYTES // 2)})
    assert _ended(crew, pid) == -signal.SIGKILL


def test_it_stops_listening(crew: Crew) -> None:
    """The supervisor's own copy of the socket would keep clients waiting for nobody."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    Crew(listener=listener, build=_never, options=ProcessOptions()).stop_listening()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)
