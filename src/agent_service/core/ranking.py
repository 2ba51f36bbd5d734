"""A ranking: keys in the order of ranks that change, the lowest first."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = 16


class Ranking(Generic[K]):
    """Finds the key of the lowest rank in logarithmic time, amortised; no two keys may share a rank.

    A heap whose entries of the past are passed over when they surface (Python's ``heapq`` documentation,
    "Priority Queue Implementation Notes"), and cleared out when they outnumber the keys.
    """

    def __init__(self) -> None:
        self._ranks: dict[K, tuple[int, int]] = {}
        self._heap: list[tuple[tuple[int, int], K]] = []

    def __len__(self) -> int:
        return len(self._ranks)

    def __repr__(self) -> str:
        return f"<Ranking of {len(self._ranks)}, {len(self._heap)} entries>"

    def put(self, key: K, rank: tuple[int, int]) -> None:
        """Rank ``key``, anew if it was ranked already."""
        if self._ranks.get(key) == rank:
            return
        self._ranks[key] = rank
        heapq.heappush(self._heap, (rank, key))
        if len(self._heap) > 2 * len(self._ranks) + _SLACK:
            self._heap = [(rank, key) for key, rank in self._ranks.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        """Forget ``key``; harmless when it is not ranked."""
        self._ranks.pop(key, None)

    def first(self) -> K | None:
        """The key of the lowest rank, or None when nothing is ranked."""
        while self._heap:
            rank, key = self._heap[0]
            if self._ranks.get(key) == rank:
                return key
            heapq.heappop(self._heap)
        return None
