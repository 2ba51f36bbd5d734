"""A place in a trace that nobody exports."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_service.core.trace import TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent_service.core.trace import Trace

HEADER = ("traceparent", "00-aaaa-bbbb-01")


@dataclass
class FakeTrace:
    """What the service's parts ask of a trace; ``servers`` are those that were called within it."""

    trace_id: str = "a" * 32
    span_id: str = "b" * 16
    is_sampled: bool = True
    wants_content: bool = False
    servers: list[tuple[str, int]] = field(default_factory=list)

    def headers_to(self, host: str, port: int) -> Sequence[tuple[str, str]]:
        self.servers.append((host, port))
        return (HEADER,)


@contextmanager
def within(trace: Trace) -> Iterator[None]:
    """Within, the work at hand is at that place."""
    token = TRACE.set(trace)
    try:
        yield
    finally:
        TRACE.reset(token)
