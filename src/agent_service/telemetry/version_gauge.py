"""Which versions of the programs answer, read when it is scraped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric


class Share(Protocol):
    """What the gauge reads of one version."""

    @property
    def program(self) -> str:
        """The program's name."""

    @property
    def version(self) -> str:
        """How answers call it."""

    @property
    def share(self) -> float:
        """Of the conversations, from 0 to 1."""


class VersionGauge(Collector):
    """One series for each version that answers; those that do not any more have none."""

    def __init__(self, read: Callable[[], Sequence[Share]]) -> None:
        self._read = read

    def __repr__(self) -> str:
        return "<VersionGauge>"

    def collect(self) -> Iterable[Metric]:
        """Read the shares."""
        gauge = GaugeMetricFamily(
            "agent_program_version_share",
            "Share of the conversations that a version of a program answers.",
            labels=["program", "version"],
        )
        for share in self._read():
            gauge.add_metric([share.program, share.version], share.share)
        return (gauge,)
