"""The simulated model of a load test: one or several processes that share a port."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

from agent_service.loadtest.stage.process import StageError
from agent_service.loadtest.stage.usage import usage_of

_STOP_SECONDS = 10.0


class SimulatedModel:
    """Answers as an OpenAI-compatible provider; the kernel spreads connections over the processes.

    Args:
        processes: how many.
        latency_seconds: wait before each answer.

    Raises:
        StageError: when it does not start.
    """

    def __init__(self, *, processes: int = 1, latency_seconds: float = 0.0) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self.base_url = ""
        try:
            for _ in range(processes):
                self._start(latency_seconds)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<SimulatedModel of {len(self._processes)} processes at {self.base_url}>"

    def calls(self) -> int:
        """How many requests all processes have seen.

        Raises:
            StageError: when one of them has ended.
        """
        return sum(int(_ask(process)) for process in self._processes)

    def cpu_seconds(self) -> list[float]:
        """The CPU that each process has used.

        Raises:
            StageError: when one of them has ended.
        """
        try:
            return [usage_of(process.pid).cpu_seconds for process in self._processes]
        except ProcessLookupError as error:
            raise StageError("the simulated model has ended") from error

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.communicate(timeout=_STOP_SECONDS)

    def _start(self, latency_seconds: float) -> None:
        port = urlsplit(self.base_url).port or 0
        module = "agent_service.loadtest.stage.model_process"
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-m", module, str(port), str(latency_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        self.base_url = _read(process)


def _ask(process: subprocess.Popen[str]) -> str:
    if process.stdin is None:
        raise StageError("the simulated model cannot be asked")
    try:
        process.stdin.write("\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise StageError("the simulated model has ended") from error
    return _read(process)


def _read(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    if not line:
        raise StageError("the simulated model has ended")
    return line
