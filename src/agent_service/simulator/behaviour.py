"""How the simulator behaves to every request: latency, pace and faults."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FAULT_KINDS = frozenset(
    {
        "context_length_exceeded",
        "drip",
        "empty_json",
        "hang",
        "hang_mid_body",
        "hang_mid_stream",
        "huge",
        "insufficient_quota",
        "malformed_json",
        "nonsense",
        "reset",
        "reset_mid_body",
        "timeout_text",
        "truncated",
        "wrong_content_type",
    }
)

_SHORT_NAMES = {"retry_after": "retry_after_seconds", "pause": "pause_seconds", "bytes": "size_bytes"}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: one of ``FAULT_KINDS`` or a status code from 400 to 599.
        rate: share of requests it happens to, from 0 to 1.
        retry_after_seconds: sent as Retry-After with a status code.
        pause_seconds: pause between the bytes of ``drip``.
        size_bytes: length of the text of ``huge``.

    Raises:
        ValueError: for a value that is not allowed.
    """

    kind: str
    rate: float = 1.0
    retry_after_seconds: float | None = None
    pause_seconds: float = 0.05
    size_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS and self.status is None:
            allowed = ", ".join(sorted(FAULT_KINDS))
            raise ValueError(f"unknown fault {self.kind!r}; allowed: a status from 400 to 599, {allowed}")
        if not 0 <= self.rate <= 1:
            raise ValueError("rate must be from 0 to 1")
        if min(self.retry_after_seconds or 0, self.pause_seconds, self.size_bytes) < 0:
            raise ValueError("seconds and bytes must not be negative")

    @property
    def status(self) -> int | None:
        """The HTTP status this fault answers with, or None when it is of another kind."""
        return int(self.kind) if re.fullmatch("[45][0-9][0-9]", self.kind) else None

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Fault:
        """Make one from names and values, as JSON or a directive gives them.

        Raises:
            ValueError: for an unknown name or a value that is not allowed.
        """
        given = {_SHORT_NAMES.get(name, name): value for name, value in parameters.items()}
        kind = str(given.pop("kind", ""))
        known = {field.name for field in fields(cls)}
        if not given.keys() <= known:
            raise ValueError(f"a fault has no {', '.join(sorted(given.keys() - known))}")
        values: dict[str, Any] = {
            name: number(name, value) for name, value in given.items() if value is not None
        }
        if "size_bytes" in values:
            values["size_bytes"] = int(values["size_bytes"])
        return cls(kind, **values)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to every request.

    Attributes:
        latency_seconds: wait before the first byte.
        latency_jitter_seconds: up to this much more, drawn for each request.
        tokens_per_second: pace of a stream; None sends it at once.
        faults: tried in order; the first whose rate strikes happens.

    Raises:
        ValueError: for a value that is not allowed.
    """

    latency_seconds: float = 0.0
    latency_jitter_seconds: float = 0.0
    tokens_per_second: float | None = None
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if self.latency_seconds < 0 or self.latency_jitter_seconds < 0:
            raise ValueError("latency must not be negative")
        if self.tokens_per_second is not None and self.tokens_per_second <= 0:
            raise ValueError("tokens_per_second must be above 0")

    @classmethod
    def from_json(cls, value: Any) -> Behaviour:
        """Make one from a JSON object; what is left out has its default.

        Raises:
            ValueError: for an unknown name or a value that is not allowed.
        """
        given = dict(value) if isinstance(value, dict) else {"": value}
        faults = given.pop("faults", [])
        known = {field.name for field in fields(cls)}
        if not given.keys() <= known:
            raise ValueError(f"a behaviour is an object with {', '.join(sorted(known))}")
        if not isinstance(faults, list) or not all(isinstance(fault, dict) for fault in faults):
            raise ValueError("faults must be a list of objects")
        numbers = {name: number(name, value) for name, value in given.items() if value is not None}
        return cls(faults=tuple(Fault.from_parameters(fault) for fault in faults), **numbers)

    def to_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)


def number(name: str, value: Any) -> float:
    """Read ``value``, called ``name``, as a finite number.

    Raises:
        ValueError: when it is none.
    """
    try:
        read = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number") from error
    if not math.isfinite(read):
        raise ValueError(f"{name} must be a finite number")
    return read
