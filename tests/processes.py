"""Real processes on free ports: the service and the simulator of a language model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    import signal
    import ssl
    from collections.abc import Callable

ASSETS = Path(__file__).parent / "e2e" / "assets"
_START_SECONDS = 60.0
_LISTENING = re.compile(r"listening on (https?://[^\s\"]+)")


def wait_until(what: str, holds: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Return as soon as ``holds``; fail with ``what`` when it does not within ``seconds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class ServerProcess:
    """A command that prints where it listens. Its output is kept line by line."""

    def __init__(self, arguments: list[str], *, environ: dict[str, str], folder: Path) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", *arguments],
            env=environ,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self) -> str:
        """The address it listens on, once it does."""
        end = time.monotonic() + _START_SECONDS
        while not (found := _LISTENING.search(self.output)):
            assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.output}"
            assert time.monotonic() < end, f"does not listen:\n{self.output}"
            time.sleep(0.02)
        return found[1].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - an address that is read, not bound

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def status(self, *, seconds: float = 30.0) -> int:
        """The exit status, once it has ended."""
        status = self._process.wait(timeout=seconds)
        self._reader.join(timeout=5)
        return status

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Service(ServerProcess):
    """The service with settings of the test's own, and a client for it.

    Attributes:
        trust: whom the client trusts when the service is served by TLS.
    """

    trust: ssl.SSLContext | bool = True

    def __init__(self, folder: Path, **settings: str) -> None:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ASSETS),
            "SERVER_HOST": "127.0.0.1",
            "SERVER_PORT": "0",
            "LOG_FORMAT": "json",
            "MEMORY_PATH": str(folder / "conversations.db"),
            **settings,
        }
        super().__init__(["serve"], environ=environ, folder=folder)
        self._clients = ExitStack()
        self._client: httpx.Client | None = None

    @property
    def client(self) -> httpx.Client:
        if self._client is None:
            self._client = self._clients.enter_context(
                httpx.Client(base_url=self.url(), verify=self.trust, timeout=60.0)
            )
        return self._client

    def ask(self, question: str, *, user_id: str = "ada", **headers: str) -> httpx.Response:
        """Send a query; headers by name with underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"user_id": user_id, "question": question}
        return self.client.post("/api/v1/query", json=body, headers=named)

    def metric(self, sample: str) -> float:
        """The value of one sample of the exposition, 0 when there is none."""
        text = self.client.get("/api/v1/metrics").text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def log(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        parsed = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]

    def close(self) -> None:
        self._clients.close()
        super().close()


class Simulator(ServerProcess):
    """The simulator, with its levers."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        environ = {"PATH": os.environ["PATH"]}
        super().__init__(["simulate-lm", "--port", "0", *arguments], environ=environ, folder=folder)
        self.base_url = self.url()
        self._client = httpx.Client(base_url=self.base_url.removesuffix("/v1"), timeout=10.0)

    def settings(self, **more: str) -> dict[str, str]:
        """What points the service at this simulator."""
        return {
            "AGENT_MODEL": "openai/gpt-4o-mini",
            "AGENT_API_BASE": self.base_url,
            "AGENT_API_KEY": "sk-any",
            **more,
        }

    def behave(self, **behaviour: Any) -> None:
        self._client.put("/_sim/behaviour", json=behaviour).raise_for_status()

    def script(self, *replies: str | dict[str, Any] | None) -> None:
        self._client.put("/_sim/script", json=list(replies)).raise_for_status()

    def heal(self) -> None:
        self._client.delete("/_sim/behaviour").raise_for_status()

    def journal(self) -> list[dict[str, Any]]:
        response = self._client.get("/_sim/journal")
        response.raise_for_status()
        entries: list[dict[str, Any]] = response.json()
        return entries

    def close(self) -> None:
        self._client.close()
        super().close()
