"""Two services and one Redis: a conversation is where its user is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.processes import wait_until
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Service


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may end."""
    own = RedisServer(tmp_path / "redis")
    yield own
    own.kill()


def test_replicas_share_their_conversations(serve: Callable[..., Service], redis_server: RedisServer) -> None:
    """What one replica was told the other knows; without Redis both refuse, and recover by themselves."""
    replicas = [serve(REDIS_URL=redis_server.url) for _ in range(2)]

    assert replicas[0].ask("My name is Ada.").json()["stored"] is True
    assert "Ada" in replicas[1].ask("What is my name?").json()["answer"]

    redis_server.kill()
    for replica in replicas:
        refused = replica.ask("What is my name?")
        assert (refused.status_code, refused.json()["error"]) == (503, "memory_unavailable")
        assert replica.client.get("/api/v1/ready").status_code == 200
    redis_server.start()
    wait_until("it answers", lambda: replicas[0].ask("What is my name?").status_code == 200)
    assert "Ada" in replicas[0].ask("What is my name?").json()["answer"]
    assert "redis://" not in replicas[0].output
