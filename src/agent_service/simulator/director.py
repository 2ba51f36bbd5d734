"""What is to happen to each request: by its own directive, by the script, or by chance."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent_service.simulator.behaviour import Behaviour, Fault, number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

_DIRECTIVE = re.compile(r"#sim:(fault|latency)=(\w+(?:\.[0-9]+)?)((?:,\w+=\w+(?:\.[0-9]+)?)*)")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen to one request; ``text`` replaces the answer of the rules."""

    latency_seconds: float = 0.0
    tokens_per_second: float | None = None
    fault: Fault | None = None
    text: str | None = None

    @property
    def waits(self) -> bool:
        """Whether the client may leave before the answer is out."""
        return self.latency_seconds > 0 or self.tokens_per_second is not None or self.fault is not None


class Director:
    """Owns the behaviour and the script; says what happens to each request.

    A directive in a question beats the script, the script beats the faults of the behaviour, and only
    there a fault's rate counts. Directives, anywhere in the text of the question::

        #sim:latency=0.5
        #sim:fault=429,retry_after=2
        #sim:fault=drip,pause=0.1
        #sim:fault=huge,bytes=1000000
    """

    def __init__(self, *, behaviour: Behaviour, random: Random) -> None:
        self.behaviour = behaviour
        self._initial = behaviour
        self._random = random
        self._script: deque[str | Fault | None] = deque()

    def __repr__(self) -> str:
        return f"Director(behaviour={self.behaviour!r}, scripted={len(self._script)})"

    def reset(self) -> None:
        """Forget the script and what was set at runtime."""
        self.behaviour = self._initial
        self._script.clear()

    def follow(self, script: Iterable[Any]) -> None:
        """Replace the script: a text, a fault as an object, or None for the rules, one for each request.

        Raises:
            ValueError: for an entry that is none of these.
        """
        entries = [_script_entry(entry) for entry in script]
        self._script = deque(entries)

    def plan(self, question: str) -> Plan:
        """What happens to the request that asks ``question``.

        Raises:
            ValueError: for a directive that asks for what there is not.
        """
        jitter = self._random.uniform(0, self.behaviour.latency_jitter_seconds)
        plan = Plan(self.behaviour.latency_seconds + jitter, self.behaviour.tokens_per_second)
        directed = _directed(plan, question)
        if directed.fault is not None:
            return directed
        entry = self._script.popleft() if self._script else self._struck()
        return replace(directed, fault=entry) if isinstance(entry, Fault) else replace(directed, text=entry)

    def _struck(self) -> Fault | None:
        """The first fault of the behaviour whose rate strikes."""
        struck = (fault for fault in self.behaviour.faults if self._random.random() < fault.rate)
        return next(struck, None)


def _directed(plan: Plan, question: str) -> Plan:
    """Apply ``#sim:latency=SECONDS`` and ``#sim:fault=KIND[,name=value...]`` of a question."""
    for name, value, rest in _DIRECTIVE.findall(question):
        if name == "latency":
            plan = replace(plan, latency_seconds=number("latency", value))
        else:
            parameters = dict(part.split("=") for part in rest.split(",")[1:])
            plan = replace(plan, fault=Fault.from_parameters({"kind": value, **parameters}))
    return plan


def _script_entry(entry: Any) -> str | Fault | None:
    if entry is None or isinstance(entry, str):
        return entry
    if isinstance(entry, dict):
        return Fault.from_parameters(entry)
    raise ValueError("a script is a list of texts, faults (objects with a kind) and nulls")
