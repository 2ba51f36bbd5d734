"""What the service looks like from outside, once a second: memory, descriptors, threads, its own gauges."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from bench.soak_clients import Clients

_SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
_BYTES_PER_MB = 1_000_000
_ENOUGH_FOR_QUANTILES = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """The service at one moment; latencies are of the queries answered since the sample before."""

    at_seconds: float
    queries: int
    rss_mb: float
    file_descriptors: int
    model_connections: int
    threads: int
    tasks: int
    pool_in_use: int
    pool_waiting: int
    pool_abandoned: int
    lm_in_flight: int
    breaker_state: int
    cpu_seconds: float
    p50_ms: float | None
    p99_ms: float | None


class Sampler:
    """Takes samples of one process.

    Args:
        pid: the service.
        base_url: where it listens.
        model_url: where its language model listens.
        session: for its metrics.
        tasks_file: where the program writes how many tasks there are.
        clients: for how many queries have ended, and how fast.
        on_sample: told of each sample.
    """

    def __init__(
        self,
        *,
        pid: int,
        base_url: str,
        model_url: str,
        session: aiohttp.ClientSession,
        tasks_file: Path,
        clients: Clients,
        on_sample: Callable[[Sample], object],
    ) -> None:
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)
        self._base_url = base_url
        self._model_port = urlsplit(model_url).port
        self._session = session
        self._tasks_file = tasks_file
        self._clients = clients
        self._on_sample = on_sample
        self._started_seconds = time.monotonic()
        self._fresh = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Sampler {len(self.samples)} samples of {self._process.pid}>"

    async def run(self) -> None:
        """Take a sample every second until cancelled."""
        while True:
            self.samples.append(await self.sample())
            self._on_sample(self.samples[-1])
            self._fresh.set()
            self._fresh.clear()
            await asyncio.sleep(1.0)

    async def until(self, holds: Callable[[Sample], bool]) -> None:
        """Return at the first sample from now on for which ``holds``; ``run`` must be under way."""
        while True:
            await self._fresh.wait()
            if holds(self.samples[-1]):
                return

    async def metrics(self) -> dict[str, float]:
        """The service's exposition: value by name with labels."""
        async with self._session.get(f"{self._base_url}/api/v1/metrics") as response:
            return {name: float(value) for name, value in _SAMPLE.findall(await response.text())}

    async def sample(self) -> Sample:
        """Look at the service now."""
        metrics = await self.metrics()
        latencies_seconds, self._clients.latencies_seconds = self._clients.latencies_seconds, []
        p50_ms, p99_ms = _quantiles_ms(latencies_seconds)
        times = self._process.cpu_times()
        return Sample(
            at_seconds=round(time.monotonic() - self._started_seconds, 3),
            queries=self._clients.outcomes.total(),
            rss_mb=self._process.memory_info().rss / _BYTES_PER_MB,
            file_descriptors=self._process.num_fds(),
            model_connections=self._model_connections(),
            threads=self._process.num_threads(),
            tasks=int(self._tasks_file.read_text()) if self._tasks_file.exists() else 0,
            pool_in_use=int(metrics["agent_pool_in_use"]),
            pool_waiting=int(metrics["agent_pool_waiting"]),
            pool_abandoned=int(metrics["agent_pool_abandoned"]),
            lm_in_flight=int(_of_all_models(metrics, "agent_lm_in_flight")),
            breaker_state=int(metrics["circuit_breaker_state"]),
            cpu_seconds=times.user + times.system,
            p50_ms=p50_ms,
            p99_ms=p99_ms,
        )

    def _model_connections(self) -> int:
        """Connections to the language model; those that are idle are kept for the next call."""
        connections = self._process.net_connections("tcp")
        return sum(
            bool(connection.raddr) and connection.raddr.port == self._model_port for connection in connections
        )


def rss_slope(samples: Sequence[Sample]) -> float:
    """MB that the process grows by in 10 000 queries: the least-squares line through the samples."""
    line = statistics.linear_regression(
        [sample.queries / 10_000 for sample in samples], [sample.rss_mb for sample in samples]
    )
    return line.slope


def _of_all_models(metrics: Mapping[str, float], name: str) -> float:
    return sum(value for series, value in metrics.items() if series.startswith(f"{name}{{"))


def _quantiles_ms(latencies_seconds: Sequence[float]) -> tuple[float | None, float | None]:
    if len(latencies_seconds) < _ENOUGH_FOR_QUANTILES:
        return None, None
    cuts = statistics.quantiles(latencies_seconds, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000
