"""What a stretch of load came to: exact percentiles, throughput, CPU per query, errors by code."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.loadtest.load import Extent, Load, Sample
    from agent_service.loadtest.stage.usage import Usage

PERCENTILES = (50, 90, 95, 99, 100)


@dataclass(slots=True)
class Round:
    """One stretch of load on one server, as it was measured. What cannot be known of a server is None.

    Attributes:
        started_seconds: monotonic time at which the load began.
        ended_seconds: when the last reply was there.
        before: the server's processes when the load began.
        after: the same when the last reply was there.
        generator_cpu_seconds: what the load generator itself took.
        model_cpu_seconds: what the busiest process of the simulated model took.
        model_calls: language model calls that the simulated model saw.
    """

    extent: Extent
    started_seconds: float
    samples: list[Sample] = field(default_factory=list)
    ended_seconds: float = 0.0
    before: Usage | None = None
    after: Usage | None = None
    generator_cpu_seconds: float = 0.0
    model_cpu_seconds: float = 0.0
    model_calls: int | None = None

    @property
    def elapsed_seconds(self) -> float:
        """Until the last reply."""
        return self.ended_seconds - self.started_seconds

    @property
    def window_seconds(self) -> float:
        """What throughput is counted over: the time of sending, without the wait for the last replies."""
        return min(self.extent.seconds, self.elapsed_seconds)

    @property
    def answered(self) -> list[Sample]:
        """The samples that are answers."""
        return [sample for sample in self.samples if sample.reply.error is None]

    @property
    def throughput(self) -> float:
        """Answers a second within the window."""
        end_seconds = self.started_seconds + self.window_seconds
        within = sum(sample.ended_seconds <= end_seconds for sample in self.answered)
        return within / self.window_seconds if self.window_seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """All rounds of one load on one server, in figures. What cannot be known is None.

    Attributes:
        latencies_seconds: by percentile, of answers only; 100 is the longest. Empty without answers.
        cpu_seconds_per_query: of the server's processes, by answer.
        cores_busy: of the server's processes together.
        rss_bytes: of the server's processes, before the first round and after the last.
        generator_busy: share of a core that the load generator took.
        model_busy: the same of the busiest process of the simulated model.
    """

    server: str
    load: Load
    queries: int
    answered: int
    errors: dict[str, int]
    round_throughputs: tuple[float, ...]
    throughput: float
    latencies_seconds: dict[int, float]
    cpu_seconds_per_query: float | None
    cores_busy: float | None
    rss_bytes: tuple[int, int] | None
    lm_calls: int | None
    generator_busy: float
    model_busy: float


def summary_of(server: str, load: Load, rounds: Sequence[Round]) -> Summary:
    """Sum up the ``rounds`` of one load on one server."""
    samples = [sample for one in rounds for sample in one.samples]
    latencies = sorted(sample.latency_seconds for one in rounds for sample in one.answered)
    elapsed = sum(one.elapsed_seconds for one in rounds)
    window = sum(one.window_seconds for one in rounds)
    cpu = _cpu_seconds(rounds)
    return Summary(
        server=server,
        load=load,
        queries=len(samples),
        answered=len(latencies),
        errors=dict(Counter(s.reply.error for s in samples if s.reply.error is not None).most_common()),
        round_throughputs=tuple(one.throughput for one in rounds),
        throughput=_share(sum(one.throughput * one.window_seconds for one in rounds), window),
        latencies_seconds={p: percentile(latencies, p) for p in PERCENTILES} if latencies else {},
        cpu_seconds_per_query=cpu / len(latencies) if cpu is not None and latencies else None,
        cores_busy=None if cpu is None else _share(cpu, elapsed),
        rss_bytes=_rss_bytes(rounds),
        lm_calls=_lm_calls(rounds),
        generator_busy=_share(sum(one.generator_cpu_seconds for one in rounds), elapsed),
        model_busy=_share(sum(one.model_cpu_seconds for one in rounds), elapsed),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that ``percent`` of all values do not exceed.

    ``ordered`` is not empty. Exact: every value is kept, none is put into a bucket.
    """
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _cpu_seconds(rounds: Sequence[Round]) -> float | None:
    used = [
        one.after.cpu_seconds - one.before.cpu_seconds
        for one in rounds
        if one.before is not None and one.after is not None
    ]
    return sum(used) if used else None


def _rss_bytes(rounds: Sequence[Round]) -> tuple[int, int] | None:
    known = [(one.before, one.after) for one in rounds]
    before, after = (known[0][0], known[-1][1]) if known else (None, None)
    return None if before is None or after is None else (before.rss_bytes, after.rss_bytes)


def _lm_calls(rounds: Sequence[Round]) -> int | None:
    """What the simulated model saw; without one, what the answers tell."""
    seen = [one.model_calls for one in rounds if one.model_calls is not None]
    told = [s.reply.lm_calls for one in rounds for s in one.samples if s.reply.lm_calls is not None]
    return sum(seen or told) if seen or told else None


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
