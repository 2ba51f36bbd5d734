"""Cases: failures of the LM of every class, wherever they can come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dspy
from dspy import lm15

from tests.programs.conftest import said
from tests.programs.fast.corpus_agents import agent_with
from tests.programs.fast.differential_case import Case, predictor, raising, step

if TYPE_CHECKING:
    from collections.abc import Callable

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
Q = {"question": "q"}

ERRORS: dict[str, Callable[[], BaseException]] = {
    "auth": lambda: lm15.AuthError(
        "wrong key", provider="openai", status=401, provider_code="invalid_api_key"
    ),
    "billing": lambda: lm15.BillingError("no money", status=402),
    "rate limit": lambda: lm15.RateLimitError("slow down", status=429, retry_after=3.5, request_id="r"),
    "invalid": lambda: lm15.InvalidRequestError("no", status=400),
    "responses only": lambda: lm15.InvalidRequestError("use /v1/responses instead", status=400),
    "model": lambda: lm15.UnsupportedModelError("no such model", status=404),
    "context": lambda: lm15.ContextLengthError("too long", status=400),
    "timeout": lambda: lm15.TimeoutError("slow", status=504),
    "server": lambda: lm15.ServerError("down", status=503),
    "transport": lambda: lm15.TransportError("reset"),
    "provider": lambda: lm15.ProviderError("strange", status=418),
    "configuration": lambda: lm15.NotConfiguredError(
        "no key", provider="openai", env_keys=("OPENAI_API_KEY",)
    ),
    "capability": lambda: lm15.UnsupportedFeatureError("cannot", feature="config.seed"),
    "assembly": lambda: lm15.StreamAssemblyError("half"),
    "plain": lambda: lm15.LM15Error("some"),
    "DSPy's": lambda: dspy.LMRateLimitError("limited", status=429, retry_after=1.0),
    "DSPy's context": lambda: dspy.ContextWindowExceededError(model="m"),
    "value": lambda: ValueError("a bug"),
    "key": lambda: KeyError("k"),
    "import": lambda: ImportError("no module"),
    "parse": lambda: RuntimeError("a bug"),
}


CASES: list[Case] = [
    case
    for name, make in ERRORS.items()
    for fails in [raising(make)]
    for case in (
        predictor(f"error {name}", QA, Q, fails),
        predictor(f"error {name} at the second reading", QA, Q, "bad", fails, modes=("async",)),
        Case(
            f"error {name} in an agent",
            agent_with("take"),
            replies=[step("take", word="a"), fails, step("finish"), FOUR],
            modes=("async",),
        ),
        Case(
            f"error {name} at an agent's end",
            agent_with("take"),
            replies=[step("finish"), fails],
            modes=("async",),
        ),
    )
]
