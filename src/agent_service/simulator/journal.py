"""What the simulator was asked and how each request ended."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from agent_service.core.clock import Clock

Outcome = Literal["running", "answered", "fault", "client_gone"]

DEFAULT_CAPACITY = 10_000


@dataclass(slots=True)
class Entry:
    """One request. ``n`` counts from 1; ``fault`` is the kind that was played, if any."""

    n: int
    at_epoch_seconds: float
    model: str
    messages: list[Any]
    stream: bool
    tools: list[Any]
    fault: str | None
    outcome: Outcome = "running"
    finished_after_seconds: float | None = None


class Journal:
    """Keeps the newest ``capacity`` entries."""

    def __init__(self, *, clock: Clock, capacity: int = DEFAULT_CAPACITY) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._count = 0

    def __repr__(self) -> str:
        return f"Journal(entries={len(self._entries)}, count={self._count})"

    def open(
        self, *, model: str, messages: list[Any], stream: bool, tools: list[Any], fault: str | None
    ) -> Entry:
        """Note a request that came in."""
        self._count += 1
        entry = Entry(self._count, self._clock.wall(), model, messages, stream, tools, fault)
        self._entries.append(entry)
        return entry

    def close(self, entry: Entry, outcome: Outcome) -> None:
        """Note how it ended."""
        entry.outcome = outcome
        entry.finished_after_seconds = max(0.0, self._clock.wall() - entry.at_epoch_seconds)

    def clear(self) -> None:
        """Forget all entries; the count goes on."""
        self._entries.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        return [asdict(entry) for entry in self._entries]
