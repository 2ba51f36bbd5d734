"""What the reader of an event stream gets: one numbered event after the other, the last one typed."""

from __future__ import annotations

from dataclasses import dataclass

ANSWER = "answer"
ERROR = "error"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a stream.

    Attributes:
        id: counts from 1 without gaps within a stream.
        kind: what happened, such as ``tool.started``.
        data: a JSON object on one line.
    """

    id: int
    kind: str
    data: str

    @property
    def is_last(self) -> bool:
        """Whether no event follows: each stream ends with exactly one of these."""
        return self.kind in {ANSWER, ERROR}
