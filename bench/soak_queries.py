"""What the soak sends. Query number n of a seed is the same in every run, whoever sends it and when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from random import Random

from agent_service.simulator.behaviour import FAULT_KINDS
from bench.soak_program import THREAD, TOOLS

QUERY_PATH = "/api/v1/query"

_STATUSES = ("400", "401", "402", "404", "429", "500", "503", "529")
_PARAMETERS = {"drip": ",pause=0.02", "huge": ",bytes=200000", "429": ",retry_after=0.1"}
_FAULTS = tuple(sorted({*FAULT_KINDS, *_STATUSES}))
_TOO_LONG_CHARS = 40_000
_JSON = "application/json"


class Kind(Enum):
    """What is special about a query; the value is what the report calls it."""

    PLAIN = "one LM call"
    TOOLS = "agent with tools"
    THREAD = "in a thread"
    FAULT = "LM fails"
    LEAVES_EARLY = "client leaves at any moment"
    LEAVES_CALL = "client leaves while the LM is called"
    BREAKS_OFF = "client breaks off while sending"
    BAD = "bad request"


SHARES = {
    Kind.PLAIN: 0.57,
    Kind.TOOLS: 0.05,
    Kind.THREAD: 0.05,
    Kind.FAULT: 0.10,
    Kind.LEAVES_EARLY: 0.09,
    Kind.LEAVES_CALL: 0.09,
    Kind.BREAKS_OFF: 0.02,
    Kind.BAD: 0.03,
}


@dataclass(frozen=True, slots=True)
class Query:
    """One request. ``leave_seconds`` is when its client hangs up; None when it waits for the answer."""

    number: int
    kind: Kind
    user_id: str
    question: str
    body: bytes
    method: str = "POST"
    path: str = QUERY_PATH
    content_type: str = _JSON
    leave_seconds: float | None = None


def query(number: int, *, seed: int, users: int, latency_seconds: float = 0.0) -> Query:
    """Query ``number``; the language model takes ``latency_seconds`` for it."""
    chance = Random(f"{seed}/{number}")
    kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
    user_id = f"user-{chance.randrange(users)}"
    if kind is Kind.BAD:
        return _bad(number, user_id, chance)
    if kind is Kind.LEAVES_CALL:
        latency_seconds = 0.5
    directive = f" #sim:latency={latency_seconds:.3f}" if latency_seconds else ""
    if kind is Kind.FAULT:
        fault = chance.choice(_FAULTS)
        directive = f" #sim:fault={fault}{_PARAMETERS.get(fault, '')}"
    first = {Kind.TOOLS: f"{TOOLS} What is {number} * 7? ", Kind.THREAD: f"{THREAD} "}.get(kind, "")
    question = f"{first}My token is {user_id} {number}.{directive}"
    leave_seconds = chance.uniform(0.0, 0.4) if kind in {Kind.LEAVES_EARLY, Kind.LEAVES_CALL} else None
    return Query(number, kind, user_id, question, _body(user_id, question), leave_seconds=leave_seconds)


def _body(user_id: str, question: str, **more: str) -> bytes:
    return json.dumps({"user_id": user_id, "question": question, **more}).encode()


def _bad(number: int, user_id: str, chance: Random) -> Query:
    """A request that is refused before anything is run for it."""
    good = _body(user_id, "never asked")
    method, path, body, content_type = chance.choice(
        [
            ("POST", QUERY_PATH, good[:-1], _JSON),
            ("POST", QUERY_PATH, _body(user_id, " "), _JSON),
            ("POST", QUERY_PATH, _body(user_id, "x" * _TOO_LONG_CHARS), _JSON),
            ("POST", QUERY_PATH, _body(user_id, "never asked", lm="other"), _JSON),
            ("POST", QUERY_PATH, good, "text/plain"),
            ("PUT", QUERY_PATH, good, _JSON),
            ("POST", "/api/v1/queries", good, _JSON),
        ]
    )
    return Query(number, Kind.BAD, user_id, "never asked", body, method, path, content_type)
