"""Where the work at hand is in a distributed trace, for those who write it down or pass it on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trace(Protocol):
    """One place in a trace: the span that is open where it is asked for."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""

    @property
    def is_sampled(self) -> bool:
        """Whether the trace is kept, so that it can be looked at."""

    @property
    def wants_content(self) -> bool:
        """Whether what users and models say may be told."""

    def headers_to(self, host: str, port: int) -> Sequence[tuple[str, str]]:
        """What a request to a server has to carry for the trace to go on there; the span notes the server."""


TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""Follows tasks and threads like ``REQUEST_ID``; None outside of traces, and while tracing is off."""
