"""A process on cores of its own that says where it listens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.goals.stage.cores import pinned

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPOSITORY = Path(__file__).parents[3]
_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LAST_CHARS = 2000
_BYTES_PER_MB = 1_000_000


class Server:
    """One process that says where it listens.

    Args:
        name: what to call it.
        arguments: of the interpreter, after ``python``.
        environ: variables, besides what a Python needs to find this repository.
        folder: where it runs and writes ``<name>.log``.
        cores: which it may use, with all its threads and children.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environ: dict[str, str],
        folder: Path,
        cores: Sequence[int],
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        paths = (str(_REPOSITORY), os.environ.get("PYTHONPATH", ""))
        with self._log.open("w") as output, pinned(cores):
            self._popen = subprocess.Popen(  # noqa: S603 - the command is ours
                [sys.executable, *arguments],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
                    **environ,
                },
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._process = psutil.Process(self._popen.pid)

    def __repr__(self) -> str:
        return f"<Server {self.name} {self._popen.pid}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def url(self) -> str:
        """Wait until it listens, and say where.

        Raises:
            RuntimeError: when it ends or does not listen in time.
        """
        end = time.monotonic() + _START_SECONDS
        while not (found := _LISTENING.search(self._log.read_text())):
            if not self.is_running() or time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not listen:\n{self.last_output()}")
            time.sleep(0.02)
        return found[1]

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def last_output(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text()[-_LAST_CHARS:]

    def output(self) -> str:
        """Wait until it ends, and return what it wrote.

        Raises:
            RuntimeError: when it failed.
        """
        if self._popen.wait() != 0:
            raise RuntimeError(f"{self.name} failed:\n{self.last_output()}")
        return self._log.read_text()

    def cpu_seconds(self) -> float:
        """Processor time of it and its children until now."""
        return sum(sum(process.cpu_times()[:2]) for process in self._family())

    def rss_mb(self) -> float:
        """Resident memory of it and its children, in millions of bytes."""
        return sum(process.memory_info().rss for process in self._family()) / _BYTES_PER_MB

    def close(self) -> None:
        """Ask it to stop; kill it when it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]
