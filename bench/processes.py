"""The service and the simulator of a language model as processes of their own, on free ports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parent.parent
_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_LAST_LINES = 20


class ServerProcess:
    """An ``agent-service`` command that says where it listens; ``folder`` gets its output, in ``<name>.log``.

    Args:
        name: what to call it.
        arguments: the command and its options.
        environ: settings, besides what a Python needs to find this repository.
        folder: where it runs.
    """

    def __init__(self, name: str, *arguments: str, environ: dict[str, str], folder: Path) -> None:
        self.log = folder / f"{name}.log"
        paths = (str(_REPOSITORY), os.environ.get("PYTHONPATH", ""))
        with self.log.open("w") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                [sys.executable, "-m", "agent_service", *arguments],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                    **environ,
                },
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __repr__(self) -> str:
        return f"<ServerProcess {self.log.stem} {self.pid}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def url(self) -> str:
        """Wait until it listens, and say where.

        Raises:
            RuntimeError: when it ends or does not listen in time.
        """
        end = time.monotonic() + _START_SECONDS
        while not (found := _LISTENING.search(self.log.read_text())):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.log.stem} does not listen:\n{self.last_lines()}")
            time.sleep(0.05)
        return found[1]

    def last_lines(self) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text().splitlines()[-_LAST_LINES:])

    def stop(self) -> int:
        """Ask it to stop and return its exit status, which is negative when it had to be killed."""
        self._process.terminate()
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.close()
            return self._process.wait()

    def close(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.wait()
