"""One row of the fault matrix: who asked what, what they were told, what was counted meanwhile."""

from __future__ import annotations

import itertools
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults.at_rest import turns
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.processes import Service, Simulator

INJECTIONS = 20
HEALTHY = "What is 2+2?"
RECOVERY_SECONDS = 10.0
_MODEL = "openai/gpt-4o-mini"
_CLOSED = 0


@dataclass(frozen=True)
class Told:
    """What one caller got, and within which time."""

    user_id: str
    question: str
    status: int
    body: dict[str, Any]
    retry_after_seconds: int | None
    seconds: float

    @property
    def error(self) -> tuple[int, str | None]:
        """Status and code."""
        return self.status, self.body.get("error")


class Row:
    """A service and its upstream under a fault; figures count from when the row began.

    ``upstream`` is None where no simulator can be asked for what it saw.
    """

    def __init__(self, service: Service, upstream: Simulator | None = None) -> None:
        self.service = service
        self.told: list[Told] = []
        self._upstream = upstream
        self._name = uuid.uuid4().hex[:8]
        self._users = itertools.count(1)
        self.reset_breaker()
        self._figures_before = self._figures()
        self._calls_before = 0 if upstream is None else len(upstream.journal())

    def ask(self, question: str, **headers: str) -> Told:
        """Ask once, as a user of its own."""
        user_id = f"{self._name}-{next(self._users)}"
        started = time.monotonic()
        response = self.service.ask(question, user_id=user_id, **headers)
        seconds = time.monotonic() - started
        retry_after = response.headers.get("retry-after")
        told = Told(
            user_id,
            question,
            response.status_code,
            response.json(),
            None if retry_after is None else int(retry_after),
            seconds,
        )
        self.told.append(told)
        return told

    def ask_all(self, questions: Iterable[str], *, at_once: int = 4, **headers: str) -> list[Told]:
        """Ask all, some at once; in the order of the questions."""
        with ThreadPoolExecutor(at_once) as callers:
            return list(callers.map(lambda question: self.ask(question, **headers), questions))

    def inject(self, fault: str, *, at_once: int = 8, **headers: str) -> tuple[list[Told], list[Told]]:
        """Half of the callers meet ``fault``, the others none; what either were told."""
        told = self.ask_all(
            [f"{HEALTHY} #sim:fault={fault}", HEALTHY] * INJECTIONS, at_once=at_once, **headers
        )
        return told[::2], told[1::2]

    def calls(self) -> list[dict[str, Any]]:
        """What the upstream saw since the row began."""
        assert self._upstream is not None
        return self._upstream.journal()[self._calls_before :]

    def lm_calls(self, outcome: str) -> float:
        """LM calls of one outcome since the row began."""
        return self._counted(f'agent_lm_calls_total{{model="{_MODEL}",outcome="{outcome}"}}')

    def errors(self, code: str) -> float:
        """Problems of one code since the row began."""
        return self._counted(f'agent_errors_total{{error="{code}"}}')

    def reset_breaker(self) -> None:
        """Close it by hand; what it counted is forgotten."""
        self.service.client.post("/api/v1/circuit-breaker/reset").raise_for_status()

    def breaker(self) -> float:
        """0 closed, 1 open, 2 half-open."""
        return self.service.metric("circuit_breaker_state")

    def comes_to_rest(self) -> None:
        """Healed: slots are back at once, the next query works in time, each answered turn is stored once."""
        if self._upstream is not None:
            self._upstream.heal()
        wait_until("every slot is back", lambda: self.service.metric("agent_pool_in_use") == 0, seconds=5)
        assert self.service.metric("agent_pool_waiting") == 0
        wait_until("the next query works", lambda: self.ask(HEALTHY).status == 200, seconds=RECOVERY_SECONDS)
        assert self.breaker() == _CLOSED
        self._stored_what_was_answered()
        self._counted_what_was_told()

    def _stored_what_was_answered(self) -> None:
        for told in self.told:
            stored = [(turn["question"], turn["answer"]) for turn in turns(self.service, told.user_id)]
            assert stored == ([(told.question, told.body["answer"])] if told.status == 200 else [])

    def _counted_what_was_told(self) -> None:
        for code in {told.body["error"] for told in self.told if told.status != 200}:
            assert self.errors(code) == sum(told.body.get("error") == code for told in self.told), code

    def _counted(self, sample: str) -> float:
        return self._figures().get(sample, 0.0) - self._figures_before.get(sample, 0.0)

    def _figures(self) -> dict[str, float]:
        lines = self.service.client.get("/api/v1/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}
