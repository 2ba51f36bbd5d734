"""Many queries with faults mixed in, against a real service and a simulated model: does anything stay?

    .venv/bin/python -m bench.soak --queries 100000 --plot docs/images/soak.svg

It prints figures and judges nothing. It needs about ten minutes for 100 000 queries and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from tqdm import tqdm

from bench.processes import ServerProcess
from bench.soak_clients import Clients
from bench.soak_ledger import Ledger
from bench.soak_program import TASKS_FILE
from bench.soak_queries import Query, query
from bench.soak_report import Result, machine, plot, summary
from bench.soak_samples import Sample, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP_QUERIES = 10_000
_REST_SECONDS = 5.0
_BURST_EVERY_SECONDS = 10.0
_BURST_QUERIES = 160
_BURST_LATENCY_SECONDS = 0.3
_OUTAGE_AT = 0.5
_OUTAGE_SECONDS = 5.0
_PAGE_TURNS = 100
_BREAKER_OPEN = 1

_SIMULATOR = ("simulate-lm", "--port", "0", "--fault", "500", "--fault", "reset", "--fault-rate", "0.005")
_SETTINGS = {
    "SERVER_HOST": "127.0.0.1",
    "SERVER_PORT": "0",
    "LOG_FORMAT": "json",
    "AGENT_PROGRAM": "bench.soak_program:Mixture",
    "AGENT_MODEL": "openai/gpt-4o-mini",
    "AGENT_API_KEY": "sk-any",
    "AGENT_POOL_SIZE": "64",
    "AGENT_POOL_QUEUE": "16",
    "AGENT_POOL_WAIT_SECS": "0.5",
    "AGENT_MAX_RETRIES": "2",
    "AGENT_LM_TIMEOUT_SECS": "1",
    "AGENT_REQUEST_TIMEOUT_SECS": "10",
    "CIRCUIT_BREAKER_THRESHOLD": "30",
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "2",
    "MEMORY_MAX_TURNS": "10000",
    "MEMORY_PATH": "conversations.db",
    TASKS_FILE: "tasks",
}


class Soak:
    """One run against processes that are up.

    Args:
        options: the command line.
        service_pid: the service.
        service_url: where it listens.
        simulator_url: where the simulator's levers are.
        tasks_file: where the service's program writes how many tasks there are.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        *,
        service_pid: int,
        service_url: str,
        simulator_url: str,
        tasks_file: Path,
    ) -> None:
        self._options = options
        self._service_pid = service_pid
        self._service_url = service_url
        self._simulator_url = simulator_url
        self._tasks_file = tasks_file
        self._ledger = Ledger()
        self._numbers = iter(range(options.queries))
        self._stop_seconds = time.monotonic() + options.max_seconds

    async def run(self) -> Result:
        """Warm up, rest, load, rest, then look at what is remembered."""
        started_seconds = time.monotonic()
        with tqdm(total=self._options.queries, unit="q", smoothing=0.05) as bar:
            clients = Clients(self._service_url, ledger=self._ledger, on_finished=bar.update)
            async with aiohttp.ClientSession() as session:
                sampler = self._sampler(session, clients, bar)
                warm, end = await self._phases(session, clients, sampler)
                seconds = time.monotonic() - started_seconds
                metrics, findings = await sampler.metrics(), await self._findings(session)
        return Result(
            options={**vars(self._options), "settings": _SETTINGS},
            machine=machine(),
            seconds=seconds,
            warm=warm,
            end=end,
            samples=sampler.samples,
            outcomes=clients.outcomes,
            metrics=metrics,
            findings=findings,
        )

    def _sampler(self, session: aiohttp.ClientSession, clients: Clients, bar: Any) -> Sampler:
        def show(sample: Sample) -> None:
            bar.set_postfix_str(
                f"{sample.rss_mb:.0f} MB, {sample.file_descriptors} fds, {sample.threads} threads",
                refresh=False,
            )

        return Sampler(
            pid=self._service_pid,
            base_url=self._service_url,
            model_url=self._simulator_url,
            session=session,
            tasks_file=self._tasks_file,
            clients=clients,
            on_sample=show,
        )

    async def _phases(
        self, session: aiohttp.ClientSession, clients: Clients, sampler: Sampler
    ) -> tuple[Sample, Sample]:
        """The samples at rest after the warm-up and at the end."""
        sampling = asyncio.ensure_future(sampler.run())
        await self._load(clients, islice(self._numbers, min(_WARM_UP_QUERIES, self._options.queries // 10)))
        await asyncio.sleep(_REST_SECONDS)
        warm = await sampler.sample()
        outage = asyncio.ensure_future(self._outage(session, sampler))
        await self._load(clients, self._numbers)
        outage.cancel()  # over by now, unless there were too few queries for it
        with suppress(asyncio.CancelledError):
            await outage
        await asyncio.sleep(_REST_SECONDS)
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
        return warm, await sampler.sample()

    async def _load(self, clients: Clients, numbers: Iterator[int]) -> None:
        """A steady load, and now and then a burst on top that the pool cannot take."""
        steady = asyncio.ensure_future(
            clients.send_all(self._queries(numbers), concurrency=self._options.concurrency)
        )
        while not (await asyncio.wait({steady}, timeout=_BURST_EVERY_SECONDS))[0]:
            burst = self._queries(islice(numbers, _BURST_QUERIES), latency_seconds=_BURST_LATENCY_SECONDS)
            await clients.send_all(burst, concurrency=_BURST_QUERIES)
        steady.result()

    def _queries(self, numbers: Iterator[int], *, latency_seconds: float = 0.0) -> Iterator[Query]:
        seed, users = self._options.seed, self._options.users
        in_time = takewhile(lambda _: time.monotonic() < self._stop_seconds, numbers)
        return (query(number, seed=seed, users=users, latency_seconds=latency_seconds) for number in in_time)

    async def _outage(self, session: aiohttp.ClientSession, sampler: Sampler) -> None:
        """Half way, the model fails until the breaker has been open for some seconds; then it heals."""
        lever = f"{self._simulator_url.removesuffix('/v1')}/_sim/behaviour"
        await sampler.until(lambda sample: sample.queries >= self._options.queries * _OUTAGE_AT)
        async with session.put(lever, json={"faults": [{"kind": "503"}]}) as response:
            response.raise_for_status()
        await sampler.until(lambda sample: sample.breaker_state == _BREAKER_OPEN)
        await asyncio.sleep(_OUTAGE_SECONDS)
        async with session.delete(lever) as response:
            response.raise_for_status()

    async def _findings(self, session: aiohttp.ClientSession) -> Counter[str]:
        """What the ledger says of every user's history."""
        found = Counter({"answered but not stored": self._ledger.not_stored})
        for user_id in tqdm(self._ledger.user_ids, desc="reading histories", unit="user", leave=False):
            found.update(self._ledger.findings(user_id, await self._history(session, user_id)))
        return found

    async def _history(self, session: aiohttp.ClientSession, user_id: str) -> list[dict[str, Any]]:
        """All turns of a user, oldest first."""
        url = f"{self._service_url}/api/v1/users/{user_id}/history"
        turns: list[dict[str, Any]] = []
        before: dict[str, int] = {}
        while True:
            async with session.get(url, params={"limit": _PAGE_TURNS, **before}) as response:
                response.raise_for_status()
                page = await response.json()
            turns = page["turns"] + turns
            if page["next_before_seq"] is None:
                return turns
            before = {"before_seq": page["next_before_seq"]}


def main() -> None:
    """Run it from the command line."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # so that nothing it started is left behind
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        result = _run(options, Path(name))
    print(summary(result))
    if options.json:
        options.json.write_text(json.dumps(result.to_json(), indent=1, default=str))
    if options.plot:
        plot(result, options.plot)


def _run(options: argparse.Namespace, folder: Path) -> Result:
    with closing(ServerProcess("simulator", *_SIMULATOR, environ={}, folder=folder)) as simulator:
        settings = {**_SETTINGS, "AGENT_API_BASE": simulator.url()}
        with closing(ServerProcess("service", "serve", environ=settings, folder=folder)) as service:
            soak = Soak(
                options,
                service_pid=service.pid,
                service_url=service.url(),
                simulator_url=simulator.url(),
                tasks_file=folder / _SETTINGS[TASKS_FILE],
            )
            try:
                result = asyncio.run(soak.run())
            except Exception as error:
                raise RuntimeError(
                    f"it broke off; the service's last lines:\n{service.last_lines()}"
                ) from error
            result.exit_status = service.stop()
            return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=100_000, help="how many in all (100000)")
    parser.add_argument("--concurrency", type=int, default=64, help="clients at once, besides bursts (64)")
    parser.add_argument("--users", type=int, default=4000, help="conversations (4000)")
    parser.add_argument("--seed", type=int, default=1, help="of what is sent (1)")
    parser.add_argument("--max-seconds", type=float, default=3600.0, help="send nothing after (3600)")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--plot", type=Path, help="draw the samples here (.svg or .png)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
