"""Real Redis servers on free ports: one, a cluster of three, a master and a replica with their Sentinel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.core.clock import SystemClock
from bench import redis_server
from tests.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from agent_service.testing import FakeClock


class DatedClock(SystemClock):
    """Real time for waiting on a server, and a date that the test moves."""

    def __init__(self, dated: FakeClock) -> None:
        self._dated = dated

    def wall(self) -> float:
        return self._dated.wall()


class RedisServer(redis_server.RedisServer):
    """One server, with what tests ask and do."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        self._sentinel = sentinel
        super().__init__(folder, *options)

    def _config(self) -> list[str]:
        if self._sentinel:
            return [f"port {self.port}", "bind 127.0.0.1", f'dir "{self._folder}"', *self._options]
        return super()._config()

    def _arguments(self) -> tuple[str, ...]:
        return ("--sentinel",) if self._sentinel else ()

    def command(self, *words: str | int | bytes) -> Any:
        """What the server says to one command."""
        with self.client() as client:
            return client.execute_command(*words)

    def keys_without_expiry(self) -> list[bytes]:
        with self.client() as client:
            return [key for key in client.scan_iter(count=1000) if client.pttl(key) == -1]

    def pass_time(self, seconds: float) -> None:
        """What lives for a time lives ``seconds`` less."""
        with self.client() as client:
            for key in client.scan_iter(count=1000):
                client.pexpire(key, client.pttl(key) - int(seconds * 1000))

    def clear(self) -> None:
        self.command("FLUSHALL")


class RedisClusterServers:
    """Three masters that share the slots."""

    def __init__(self, folder: Path) -> None:
        options = ("cluster-enabled yes", "cluster-node-timeout 2000")
        self.nodes = [RedisServer(folder / str(number), *options) for number in range(3)]
        try:
            self._meet()
        except BaseException:
            self.kill()
            raise

    def _meet(self) -> None:
        share = 16_384 // 3 + 1
        for number, node in enumerate(self.nodes):
            first = number * share
            node.command("CLUSTER", "ADDSLOTSRANGE", first, min(first + share, 16_384) - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until("the cluster is whole", self.is_whole, seconds=30.0)

    def is_whole(self) -> bool:
        """Whether each node sees all nodes and all slots served."""
        wanted = {b"cluster_state:ok", b"cluster_known_nodes:3", b"cluster_slots_ok:16384"}
        return all(wanted <= set(node.command("CLUSTER", "INFO").split()) for node in self.nodes)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def keys_without_expiry(self) -> list[bytes]:
        return [key for node in self.nodes for key in node.keys_without_expiry()]

    def pass_time(self, seconds: float) -> None:
        for node in self.nodes:
            node.pass_time(seconds)

    def clear(self) -> None:
        for node in self.nodes:
            node.clear()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
