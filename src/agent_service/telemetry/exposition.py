"""Metrics as text: Prometheus' own format, or OpenMetrics for those who ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def written(metrics: Collector, accept: str) -> tuple[bytes, str]:
    """The text of ``metrics`` and its content type, for what the reader's ``Accept`` header says.

    OpenMetrics alone has exemplars, which lead from a bucket of a histogram to a trace.
    """
    encode, content_type = choose_encoder(accept)
    return encode(metrics), content_type
