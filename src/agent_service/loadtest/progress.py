"""How a load test goes, as a bar on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from agent_service.loadtest.samples import percentile

if TYPE_CHECKING:
    from typing import TextIO

    from agent_service.loadtest.load import Extent, Sample

_LATELY_SECONDS = 2.0
_NEWEST = 1000
_SHORTEST_SECONDS = 0.1


class ProgressBar:
    """Shows the part that is done, q/s and p95 of late, and all errors. Silent without a terminal."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._bar: tqdm[Any] | None = None
        self._by_queries = False
        self._seen = self._errors = 0

    def __repr__(self) -> str:
        return f"ProgressBar({self._bar!r})"

    def begin(self, title: str, extent: Extent) -> None:
        """A stretch of load begins."""
        self._seen = self._errors = 0
        self._by_queries = extent.queries < math.inf
        self._bar = tqdm(
            total=round(extent.queries if self._by_queries else extent.seconds, 1),
            desc=title,
            file=self._file,
            disable=None,
            leave=False,
            bar_format="{desc} {percentage:3.0f} %|{bar:24}|{postfix}",
        )

    def show(self, elapsed_seconds: float, samples: list[Sample]) -> None:
        """So far it went like this."""
        if self._bar is None or self._bar.disable:
            return
        self._bar.n = min(len(samples) if self._by_queries else elapsed_seconds, self._bar.total or 0)
        self._errors += sum(sample.reply.error is not None for sample in samples[self._seen :])
        self._seen = len(samples)
        self._bar.set_postfix_str(f"{pace(samples)}, {self._errors} errors")

    def end(self) -> None:
        """The stretch is over."""
        if self._bar is not None:
            self._bar.close()


def pace(samples: list[Sample]) -> str:
    """Answers a second and their p95, of the last two seconds and the newest thousand."""
    newest = samples[-_NEWEST:]
    since_seconds = newest[-1].ended_seconds - _LATELY_SECONDS if newest else 0.0
    lately = [one for one in newest if one.reply.error is None and one.ended_seconds >= since_seconds]
    if not lately:
        return "no answer of late"
    took_seconds = max(lately[-1].ended_seconds - lately[0].ended_seconds, _SHORTEST_SECONDS)
    p95_seconds = percentile(sorted(sample.latency_seconds for sample in lately), 95)
    return f"{len(lately) / took_seconds:.0f} q/s, p95 {p95_seconds * 1000:.0f} ms"
