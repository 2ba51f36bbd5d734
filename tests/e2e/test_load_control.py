"""Load control from outside: fallbacks, budgets, fairness, what they leave in the metrics."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.processes import Simulator, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from tests.processes import Service


def test_another_model_answers_while_the_first_one_fails(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """The answer says who answered; when the first one is back, it answers again."""
    second = Simulator(tmp_path)
    try:
        service = serve(
            **simulator.settings(
                AGENT_FALLBACK_MODELS="groq/llama-3.1-8b",
                GROQ_API_BASE=second.base_url,
                GROQ_API_KEY="sk-other",
                AGENT_MAX_RETRIES="0",
                CIRCUIT_BREAKER_THRESHOLD="2",
                CIRCUIT_BREAKER_TIMEOUT_SECS="0.5",
            )
        )
        assert service.ask("What is 2+2?").json()["model"] == "openai/gpt-4o-mini"
        simulator.behave(faults=[{"kind": "500"}])

        answers = [service.ask("What is 2+2?") for _ in range(3)]

        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["model"] for answer in answers} == {"groq/llama-3.1-8b"}
        assert all(answer.json()["stored"] for answer in answers)
        assert [entry["model"] for entry in second.journal()] == ["llama-3.1-8b"] * 9
        assert service.metric('agent_fallbacks_total{model="openai/gpt-4o-mini"}') >= 3
        assert service.metric('agent_lm_calls_total{model="groq/llama-3.1-8b",outcome="success"}') == 9
        simulator.heal()
        wait_until(
            "the first model answers again",
            lambda: service.ask("What is 2+2?").json()["model"] == "openai/gpt-4o-mini",
        )
    finally:
        second.close()


def test_a_query_that_uses_up_its_budget_is_stopped_and_told_what_it_did(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """A looping agent cannot spend without end; steps and tokens until then are in the problem."""
    step = "[[ ## next_thought ## ]]\nOnce more.\n\n[[ ## next_tool_name ## ]]\ncalculator\n\n"
    again = step + '[[ ## next_tool_args ## ]]\n{"expression": "1+1"}\n\n[[ ## completed ## ]]'
    simulator.script(*[again] * 20)
    service = serve(**simulator.settings(AGENT_MAX_LM_CALLS="3"))

    refused = service.ask("Loop, please")

    problem = refused.json()
    assert (refused.status_code, problem["error"]) == (422, "budget_exhausted")
    assert "3 calls" in problem["detail"]
    assert problem["reasoning_steps"] == 3
    assert problem["usage"]["lm_calls"] == 3
    assert problem["usage"]["total_tokens"] > 0
    assert len(simulator.journal()) == 3
    assert service.client.get("/api/v1/users/ada/history").json()["turns"] == []


def test_one_user_cannot_keep_the_others_waiting(serve: Callable[..., Service], simulator: Simulator) -> None:
    """With the queue full of one user's queries, another's is served before most of them."""
    simulator.behave(latency_seconds=0.1)
    service = serve(
        **simulator.settings(AGENT_POOL_SIZE="1", AGENT_POOL_QUEUE="4", AGENT_POOL_WAIT_SECS="20")
    )
    service.url()
    done: list[str] = []

    def ask(user_id: str) -> None:
        response: httpx.Response = service.ask("What is 2+2?", user_id=user_id)
        done.append(f"{user_id} {response.status_code}")

    heavy = [threading.Thread(target=ask, args=("heavy",)) for _ in range(5)]
    for thread in heavy:
        thread.start()
    wait_until("the queue is full", lambda: service.metric("agent_pool_waiting") == 4)

    ask("light")

    for thread in heavy:
        thread.join(timeout=30)
    assert done.index("light 200") <= 3
    assert done.count("heavy 503") == 1
    assert done.count("heavy 200") == 4
