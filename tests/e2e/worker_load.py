"""Clients that ask without pause, on connections that they keep, and count what became of it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Load:
    """Within the ``with`` block, ``clients`` threads ask ``question``.

    Attributes:
        outcomes: how many queries ended with which status; ``cut`` counts connections that broke.
        pids: which processes answered, and how often.
    """

    def __init__(self, url: str, *, clients: int, question: str = "wait 0.02") -> None:
        self.outcomes: Counter[int | str] = Counter()
        self.pids: Counter[int] = Counter()
        self._url = url
        self._question = question
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=30)

    @property
    def answered(self) -> int:
        return self.outcomes[200]

    def _ask(self, number: int) -> None:
        body = {"user_id": f"user-{number}", "question": self._question}
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._over.is_set():
                try:
                    response = client.post("/api/v1/query", json=body)
                except httpx.TransportError:
                    self.outcomes["cut"] += 1
                    continue
                self.outcomes[response.status_code] += 1
                if response.status_code == 200:
                    self.pids[int(response.json()["answer"].split()[0])] += 1
