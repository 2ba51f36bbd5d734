"""A server in a process of its own, which says on its output where it listens."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

_LISTENING = re.compile(r"(?:listening|running) on (https?://[^\s\"]+)")
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.05
_FILES = 65_536


class StageError(Exception):
    """A load test cannot begin. The message is for whoever started it."""


class ServerProcess:
    """A server that is started at once and stopped by ``close``.

    Args:
        name: what to call it.
        command: program and arguments.
        environ: all of its environment.
        folder: gets its output, in ``<name>.log``.
        cores: those it may run on; any when empty.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        folder: Path,
        cores: Collection[int] = (),
    ) -> None:
        self._name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as output, on_cores(cores):
            self._process = subprocess.Popen(  # noqa: S603 - the commands are ours
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __repr__(self) -> str:
        return f"<ServerProcess {self._name} {self.pid}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def url(self) -> str:
        """Wait until it listens, and say where.

        Raises:
            StageError: when it ends or does not listen in time, with the last it said.
        """
        end_seconds = time.monotonic() + _START_SECONDS
        while not (found := _LISTENING.search(self._output())):
            if self._process.poll() is not None or time.monotonic() > end_seconds:
                raise StageError(f"{self._name} did not start: {self.last_word()}")
            time.sleep(_LOOK_EVERY_SECONDS)
        return found[1].replace("//0.0.0.0:", "//127.0.0.1:")

    def close(self) -> None:
        """Stop it, by force when it does not heed."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_word(self) -> str:
        """What it said last, in one line."""
        return last_word(self._output())

    def _output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores only; with none given, on any. Linux only."""
    if not cores:
        yield
        return
    # Set before the start, because setting it later would leave threads of the process where they are.
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_connections() -> None:
    """Raise this process's limit of open files, as far as it may; processes started later inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(_FILES, hard)), hard))


def last_word(output: str) -> str:
    """What a process said last, in one line: of a JSON log line the event and its exceptions."""
    line = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "it said nothing")
    try:
        told = json.loads(line)
        causes = [f"{cause['type']}: {cause['message']}" for cause in told.get("exception", ())]
        return "; ".join([told["event"], *causes])
    except (ValueError, LookupError, TypeError, AttributeError):
        return line
