"""What happens, told to whoever listens. The core emits; telemetry and streams listen.

Every label-like value here (outcome, model, tool, backend, operation, route) comes from a closed set.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agent_service.core.messages import BASE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_service.core.messages import Usage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Root of all events. ``request_id`` is empty when no query is the cause."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A query was admitted and its program begins."""

    program: str


@dataclass(frozen=True, slots=True)
class LMCallStarted(Event):
    """One attempt to call the language model begins; ``attempt`` counts from 1.

    ``request`` is what is asked, for listeners that may look at it.
    """

    model: str
    attempt: int
    request: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LMCallFinished(Event):
    """One attempt ended. ``outcome``: success, error, rate_limited, timeout, refused or stopped.

    ``read_response`` makes what came of a success, for listeners that may look at it.
    """

    model: str
    attempt: int
    outcome: str
    latency_seconds: float
    usage: Usage
    read_response: Callable[[], Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class FallbackTaken(Event):
    """The call of one language model failed or was refused, and goes on to another."""

    model: str
    to: str


@dataclass(frozen=True, slots=True)
class ToolStarted(Event):
    """A tool call begins; ``step`` counts tool steps of the run from 1.

    ``arguments`` are there when the run is watched or its trace wants them: shortened, with secrets masked.
    """

    tool: str
    step: int
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolFinished(Event):
    """A tool call ended. ``outcome``: success, error, timeout or stopped."""

    tool: str
    step: int
    outcome: str
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class AnswerDelta(Event):
    """More of the answer's text, in a run that is watched. A later ``reply`` replaces an earlier one."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class QueryFinished(Event):
    """A query is over, whatever its end. ``code`` is the error's code, or None on success."""

    user_id: str
    session_id: str
    program: str
    model: str
    code: str | None
    reasoning_steps: int
    tools_used: tuple[str, ...]
    usage: Usage
    latency_seconds: float
    stored: bool
    cause: str = ""
    """The class of the exception behind a failure: for logs, never for the caller."""
    version: str = BASE_VERSION
    """Of the program."""
    may_blame_program: bool = False
    """Whether the program was run and may be why there is no answer."""


@dataclass(frozen=True, slots=True)
class ReleaseRolledBack(Event):
    """A new version of a program failed more often than the one before it, and was taken back."""

    program: str
    version: str
    to: str


@dataclass(frozen=True, slots=True)
class ReleaseRefused(Event):
    """A version of a program that is to answer cannot be served; what answered before goes on."""

    program: str
    version: str


@dataclass(frozen=True, slots=True)
class BreakerMoved(Event):
    """A circuit breaker changed state: closed, open or half_open."""

    upstream: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class StoreOperationFinished(Event):
    """A conversation store did something. ``outcome``: success, error, timeout or refused."""

    backend: str
    operation: str
    outcome: str
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class HttpRequestFinished(Event):
    """An HTTP request was answered. ``route`` is the route's template, never the raw path.

    ``error`` is the code of the problem that was the answer, or None when it was none.
    """

    route: str
    method: str
    status: int
    latency_seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StreamCutOff(Event):
    """The reader of an event stream took too little of it, and is served no longer."""


@dataclass(frozen=True, slots=True)
class CredentialsRead(Event):
    """What callers are known by was read again. ``source``: keys or jwks; ``outcome``: success or error."""

    source: str
    outcome: str


@dataclass(frozen=True, slots=True)
class LimitMet(Event):
    """A query was refused because its caller has sent too many. ``limit``: key, user or tokens."""

    limit: str


@dataclass(frozen=True, slots=True)
class LimitNotChecked(Event):
    """A query went on, or its tokens, without being counted, because what counts has failed."""


@dataclass(frozen=True, slots=True)
class TraceSpansLost(Event):
    """So many spans of traces could not be sent to their receiver."""

    spans: int


@dataclass(frozen=True, slots=True)
class LoopLagMeasured(Event):
    """How late the event loop was at its last tick."""

    lag_seconds: float


@dataclass(frozen=True, slots=True)
class LoopBlocked(Event):
    """The event loop has not turned for ``blocked_seconds``; told once for each time that it does not."""

    blocked_seconds: float


class Observer(Protocol):
    """Somebody who wants to know. Called on whatever thread the event happens; must return at once."""

    def observe(self, event: Event) -> None:
        """Take note of ``event``. Should not raise."""


class Observers:
    """Passes each event to every listener; one that raises is logged and does not stop the others."""

    def __init__(self, *listeners: Observer) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Observer) -> None:
        """Listen from now on."""
        self._listeners.append(listener)

    def observe(self, event: Event) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            try:
                listener.observe(event)
            except Exception:  # noqa: BLE001 - whatever a listener raises, the others must hear
                _log.exception("a listener failed on %s", type(event).__name__)
