"""Killed again and again under load, nothing acknowledged is lost and nothing is stored twice (row P2)."""

from __future__ import annotations

import random
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults.at_rest import PROGRAMS, assert_at_rest, assert_sound, turns
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator

KILLS = 21
PROCESSES = 3
CLIENTS = 6
SEED = 20260


@dataclass
class Client:
    """Asks one question after the other, of whichever process answers; notes what was acknowledged."""

    user_id: str
    urls: list[str]
    over: threading.Event
    sent: list[str] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)

    def run(self) -> None:
        """Ask until it is over; a question whose answer did not come is not asked again."""
        chance = random.Random(self.user_id)
        while not self.over.is_set():
            question = f"question {len(self.sent)} of {self.user_id}"
            self.sent.append(question)
            body = {"user_id": self.user_id, "question": question}
            try:
                url = chance.choice(self.urls)
                response = httpx.post(f"{url}/api/v1/query", json=body, timeout=10)
            except httpx.TransportError:
                continue
            self.statuses.add(response.status_code)
            if response.status_code == 200 and response.json()["stored"]:
                self.acknowledged[question] = response.json()["answer"]


def _kill_and_replace(
    processes: list[Service], urls: list[str], clients: list[Client], serve: Callable[[], Service]
) -> None:
    chance = random.Random(SEED)
    for number in range(KILLS):
        slot = number % PROCESSES
        victim = processes[slot]
        urls[slot] = victim.url()
        goal = sum(len(client.acknowledged) for client in clients) + chance.randrange(1, 12)
        wait_until(
            "queries are answered",
            lambda goal=goal: sum(len(client.acknowledged) for client in clients) >= goal,  # type: ignore[misc]
        )
        victim.signal(signal.SIGKILL)
        assert victim.status() == -signal.SIGKILL
        processes[slot] = serve()


def _assert_nothing_lost_or_doubled(service: Service, client: Client) -> None:
    stored = turns(service, client.user_id)
    asked = [turn["question"] for turn in stored]
    answers = {turn["question"]: turn["answer"] for turn in stored}
    oldest_kept = stored[0]["seq"]
    assert len(asked) == len(set(asked))
    assert [turn["seq"] for turn in stored] == list(range(oldest_kept, oldest_kept + len(stored)))
    assert set(asked) <= set(client.sent)
    assert {question: answers.get(question) for question in client.acknowledged} == client.acknowledged
    assert all(answers.values())


@pytest.mark.timeout(300)  # more than twenty starts, on machines that may be busy
def test_many_kills_lose_nothing_that_was_acknowledged(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """Each acknowledged turn is there exactly once with its texts, any other at most once and whole."""
    simulator.behave(latency_seconds=0.005, latency_jitter_seconds=0.08)
    settings = simulator.settings(**PROGRAMS, MEMORY_MAX_TURNS="10000")
    processes = [serve(**settings) for _ in range(PROCESSES)]
    urls = [process.url() for process in processes]
    over = threading.Event()
    clients = [Client(f"user-{number}", urls, over) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        _kill_and_replace(processes, urls, clients, lambda: serve(**settings))
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=15)
    survivor = processes[0]
    assert sum(len(client.acknowledged) for client in clients) >= KILLS
    assert set().union(*(client.statuses for client in clients)) == {200}
    for client in clients:
        _assert_nothing_lost_or_doubled(survivor, client)
    assert_at_rest(survivor)
    assert_sound(tmp_path / "conversations.db")
