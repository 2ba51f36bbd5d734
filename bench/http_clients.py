"""What an HTTP client costs per call of a language model: ``python -m bench.http_clients``, a minute or two.

One process calls a provider in another over loopback, under uvloop. Figures are process CPU time, threads
included, in microseconds a call: the least of many short rounds that take turns, because other work on the
machine only ever adds. Clients that are not installed are left out.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import uvloop

from bench.http_clients_candidates import CANDIDATES
from tests.faults.certificates import VALID, Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.http_clients_candidates import Candidate

PROVIDER = Path(__file__).with_name("http_clients_provider.py")
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"%s"}]}' % (b"What is it? " * 150)
_OWN = "agent_service.programs.lm.http.transport"
ROUNDS, CALLS = 20, 256
CANCELLED = 150


@contextmanager
def provider(certificate: Path | None = None) -> Iterator[str]:
    """A provider in a process of its own."""
    arguments = [sys.executable, str(PROVIDER), *([str(certificate)] if certificate else [])]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own script
    assert process.stdout is not None
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait()


async def cpu_us(client: Candidate, url: str, *, in_flight: int, calls: int = CALLS) -> float:
    """CPU of one call, in microseconds."""
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await client.post(url, BODY)

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return (time.process_time() - began) / calls * 1e6


async def least_cpu_us(clients: dict[str, Candidate], url: str, *, in_flight: int) -> dict[str, float]:
    """The least CPU of a call, of rounds in which the clients take turns; none for those that cannot."""
    least: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, client in list(clients.items()):
            try:
                spent = await cpu_us(client, url, in_flight=in_flight)
            except Exception as error:  # noqa: BLE001 - a client's own errors have no common class
                print(f"{name} cannot: {type(error).__name__}: {str(error)[:100]}")
                del clients[name]
                continue
            least[name] = min(spent, least.get(name, spent))
    return least


async def alone(name: str, url: str) -> None:
    """Print what a connection takes in KiB, and what many cancelled calls leave open.

    The provider is asked a moment after they were cancelled in mid-answer, three times.
    """
    client, clerk = CANDIDATES[name](), CANDIDATES["raw httptools"]()
    await cpu_us(client, url, in_flight=1, calls=20)
    taken_bytes = []
    for _ in range(3):
        before = psutil.Process().memory_info().rss
        calls = [asyncio.ensure_future(client.post(f"{url}/hang", b"{}")) for _ in range(CANCELLED)]
        await asyncio.sleep(1.0)
        taken_bytes.append(psutil.Process().memory_info().rss - before)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    await asyncio.sleep(0.3)
    still_open = int(await clerk.post(f"{url}/open", b""))
    print(f"{taken_bytes[0] / CANCELLED / 1024:.0f} {still_open}")
    await client.aclose()
    await clerk.aclose()


def import_ms(name: str) -> float:
    """CPU of the import, after DSPy's; the least of three."""
    code = f"import dspy, time; t = time.process_time(); import {name}; print(time.process_time() - t)"
    run = [sys.executable, "-c", code]
    return 1000 * min(float(subprocess.check_output(run)) for _ in range(3))  # noqa: S603 - our own code


def opened() -> dict[str, Candidate]:
    """The clients that are installed."""
    found: dict[str, Candidate] = {}
    for name, make in CANDIDATES.items():
        try:
            found[name] = make()
        except ImportError:
            print(f"{name} is not installed")
    return found


async def compare(plain_url: str, tls_url: str) -> None:
    """Measure all, and print the table."""
    clients = opened()
    many = await least_cpu_us(clients, plain_url, in_flight=64)
    one = await least_cpu_us(clients, plain_url, in_flight=1)
    tls = await least_cpu_us(dict(clients), tls_url, in_flight=64)
    print(f"\n{'':15}{'64 in flight':>14}{'TLS':>8}{'1':>8}{'import ms':>11}{'KiB':>8}{'left open':>11}")
    for name in clients:
        module = {"lm15": "dspy", "raw httptools": "httptools", "own": _OWN}.get(name, name)
        with provider() as url:
            looking = [sys.executable, "-m", "bench.http_clients", name, url]
            memory_kb, still_open = subprocess.check_output(looking, text=True).split()  # noqa: S603, ASYNC221 - ourselves; nothing else runs
        print(f"{name:15}{many[name]:14.0f}{tls.get(name, float('nan')):8.0f}{one[name]:8.0f}", end="")
        print(f"{import_ms(module):11.0f}{memory_kb:>8}{still_open:>11}", flush=True)
    for client in clients.values():
        await client.aclose()


def main() -> None:
    """Start the providers and compare; or, with a client's name and an address, look at one alone."""
    if len(sys.argv) > 1:
        uvloop.run(alone(*sys.argv[1:]))
        return
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        leaf = authority.leaf("provider", VALID)
        both = Path(folder) / "both.pem"
        both.write_bytes(leaf.key.read_bytes() + leaf.certificate.read_bytes())
        os.environ["SSL_CERT_FILE"] = str(authority.certificate)
        with provider() as plain_url, provider(both) as tls_url:
            uvloop.run(compare(plain_url, tls_url))


if __name__ == "__main__":
    main()
