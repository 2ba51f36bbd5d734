"""Which cores who runs on."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. With fewer than four cores some share one, and figures suffer.

    Attributes:
        all: what this process may use.
    """

    all: tuple[int, ...] = field(default_factory=lambda: tuple(sorted(os.sched_getaffinity(0))))

    def served(self, count: int = 1) -> tuple[int, ...]:
        """For what is measured."""
        return self.all[:count]

    @property
    def lm(self) -> tuple[int, ...]:
        """For the stub of a language model."""
        return (self._from_the_end(2),)

    @property
    def load(self) -> tuple[int, ...]:
        """For the load generator, which is this process."""
        return (self._from_the_end(1),)

    @property
    def redis(self) -> tuple[int, ...]:
        """For Redis."""
        return (self._from_the_end(3),)

    def _from_the_end(self, number: int) -> int:
        return self.all[-number % len(self.all)]


@contextlib.contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Within, this thread and the processes it starts run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
