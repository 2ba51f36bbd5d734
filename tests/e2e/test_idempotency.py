"""Idempotency keys, the list of sessions and the budget of the context, over HTTP and real processes."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.at_rest import Asking
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service, Simulator

OWN = {"AGENT_PROGRAM": "own_program:support"}


def _turns(service: Service, user_id: str = "ada") -> list[dict[str, Any]]:
    page = service.client.get(f"/api/v1/users/{user_id}/history").json()
    turns: list[dict[str, Any]] = page["turns"]
    return turns


def test_the_same_key_is_answered_once(serve: Callable[..., Service], simulator: Simulator) -> None:
    """One LM call, the same body to the byte, over a restart too; another question is refused."""
    first_process = serve(**simulator.settings(**OWN))
    first = first_process.ask("What is 2+2?", Idempotency_Key="k")
    first_process.signal(signal.SIGTERM)
    first_process.status()
    service = serve(**simulator.settings(**OWN))

    again = service.ask("What is 2+2?", Idempotency_Key='"k"')
    other = service.ask("What is 3+3?", Idempotency_Key="k")

    assert first.status_code == again.status_code == 200
    assert again.text == first.text
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert len(simulator.journal()) == len(_turns(service)) == 1


def test_another_user_s_key_is_another(serve: Callable[..., Service], simulator: Simulator) -> None:
    """Whoever guesses a key gets an answer of their own."""
    service = serve(**simulator.settings(**OWN))

    answers = [service.ask("What is 2+2?", user_id=user, Idempotency_Key="k") for user in ("ada", "eve")]

    assert [answer.json()["user_id"] for answer in answers] == ["ada", "eve"]
    assert all("idempotency-replayed" not in answer.headers for answer in answers)
    assert len(simulator.journal()) == 2


def test_of_concurrent_duplicates_one_runs(serve: Callable[..., Service], simulator: Simulator) -> None:
    """In two processes on one store: one answers, the others conflict or repeat it."""
    simulator.behave(latency_seconds=0.5)
    services = [serve(**simulator.settings(**OWN)) for _ in range(2)]
    urls = [service.url() for service in services]
    assert len(urls) == 2

    with ThreadPoolExecutor(5) as pool:
        asking = [
            pool.submit(services[number % 2].ask, "What is 2+2?", Idempotency_Key="k") for number in range(5)
        ]
        responses = [each.result() for each in asking]

    answered = [response for response in responses if response.status_code == 200]
    refused = [response for response in responses if response.status_code == 409]
    assert len(answered) >= 1
    assert len(answered) + len(refused) == 5
    assert len({response.content for response in answered}) == 1
    assert all(response.headers["retry-after"] for response in refused)
    assert len(simulator.journal()) == len(_turns(services[0])) == 1


@pytest.mark.timeout(120)  # a dead process's claim has to end
def test_a_query_whose_process_is_killed_is_answered_once(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """After the dead claim's end the same key runs; the conversation has one turn."""
    simulator.behave(latency_seconds=1.5)
    settings = simulator.settings(**OWN, AGENT_REQUEST_TIMEOUT_SECS="2", CONVERSATION_POLICY="parallel")
    victim = serve(**settings)
    lost = Asking(victim, "What is 2+2?", Idempotency_Key="k")
    wait_until("the model is asked", lambda: len(simulator.journal()) == 1)
    victim.signal(signal.SIGKILL)
    lost.join(timeout=10)
    simulator.heal()
    service = serve(**settings)

    statuses = []

    def answered() -> bool:
        statuses.append(service.ask("What is 2+2?", Idempotency_Key="k").status_code)
        return statuses[-1] == 200

    wait_until("it is answered", answered, seconds=30)

    assert lost.response is None
    assert set(statuses) <= {200, 409}
    assert service.ask("What is 2+2?", Idempotency_Key="k").headers["idempotency-replayed"] == "true"
    assert len(simulator.journal()) == 2
    assert len(_turns(service)) == 1


def test_a_caller_who_left_asks_again(serve: Callable[..., Service], simulator: Simulator) -> None:
    """A broken connection is what the key is for: the next try need not wait for anything."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings(**OWN))
    late = service.ask("What is 2+2?", Idempotency_Key="k", X_Request_Timeout="0.5")
    simulator.heal()

    answer = service.ask("What is 2+2?", Idempotency_Key="k")

    assert late.status_code == 504
    assert answer.status_code == 200
    assert len(_turns(service)) == 1


def test_erasing_a_user_takes_sessions_and_keys_along(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """Afterwards no session is listed, and the key's answer is not known any more."""
    service = serve(**simulator.settings(**OWN))
    body = {"user_id": "ada", "question": "What is 2+2?", "session_id": "trip"}
    headers = {"Idempotency-Key": "k"}
    service.client.post("/api/v1/query", json=body, headers=headers)
    service.ask("Hello?")
    listed = service.client.get("/api/v1/users/ada/sessions").json()["sessions"]

    erased = service.client.delete("/api/v1/users/ada/history").json()
    left = service.client.get("/api/v1/users/ada/sessions").json()
    again = service.client.post("/api/v1/query", json=body, headers=headers)

    assert sorted((at["session_id"], at["turns"], at["last_seq"]) for at in listed) == [
        ("default", 1, 1),
        ("trip", 1, 1),
    ]
    assert erased["deleted_turns"] == 2
    assert left == {"user_id": "ada", "sessions": [], "next_after": None}
    assert "idempotency-replayed" not in again.headers
    assert len(simulator.journal()) == 3


def test_long_turns_are_shortened_for_the_model_and_kept_whole(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """The prompt stays within the budget; the history does not change."""
    service = serve(**simulator.settings(MEMORY_CONTEXT_TOKENS="100"))
    question = f"begin {'x' * 5000} end"
    service.ask(question)
    service.ask("And now?")

    prompt = str(simulator.journal()[-1]["messages"])

    assert " […] " in prompt
    assert "begin " in prompt
    assert len(question) > 5000
    assert "x" * 500 not in prompt
    assert _turns(service)[0]["question"] == question
