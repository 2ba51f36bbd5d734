"""One conversation asked through two processes on one store: in order, refused, or forked, and never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from tests.processes import Service, Simulator

QUESTIONS = [f"Question {number}?" for number in range(10)]


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a store that several processes share."""
    if request.param == "sqlite":
        yield {}
        return
    server = RedisServer(tmp_path / "redis")
    yield {"REDIS_URL": server.url}
    server.kill()


def ask_through_both(serve: Callable[..., Service], **settings: str) -> tuple[Service, list[httpx.Response]]:
    """Ten questions at once, every second one through the other process."""
    services = [serve(**settings), serve(**settings)]
    clients = [service.client for service in services]
    with ThreadPoolExecutor(len(QUESTIONS)) as threads:
        body: Callable[[str], dict[str, str]] = lambda text: {"user_id": "ada", "question": text}  # noqa: E731
        asking = [
            threads.submit(clients[number % 2].post, "/api/v1/query", json=body(question))
            for number, question in enumerate(QUESTIONS)
        ]
    return services[0], [asked.result() for asked in asking]


def history(service: Service) -> list[dict[str, Any]]:
    """Every turn of the conversation."""
    page = service.client.get("/api/v1/users/ada/history").json()
    turns: list[dict[str, Any]] = page["turns"]
    return turns


def test_questions_are_answered_one_after_the_other(
    serve: Callable[..., Service], store: dict[str, str]
) -> None:
    """Each is answered on sight of the one before it, whichever process was asked; none is lost."""
    service, responses = ask_through_both(serve, CONVERSATION_WAIT_SECS="20", **store)

    assert [response.status_code for response in responses] == [200] * 10
    turns = history(service)
    assert sorted(response.json()["seq"] for response in responses) == list(range(1, 11))
    assert [turn["seq"] for turn in turns] == list(range(1, 11))
    assert [turn["forked_from"] for turn in turns] == [None] * 10
    assert {turn["question"] for turn in turns} == set(QUESTIONS)


def test_questions_at_once_are_refused_when_they_shall_be(
    serve: Callable[..., Service], simulator: Simulator, store: dict[str, str]
) -> None:
    """One is answered, the others are told to come back and cost no call of the model."""
    simulator.behave(latency_seconds=1.0)
    service, responses = ask_through_both(
        serve,
        **simulator.settings(CONVERSATION_POLICY="reject", AGENT_PROGRAM="own_program:support", **store),
    )

    refused = [response for response in responses if response.status_code != 200]
    assert len(refused) == 9
    assert {(response.status_code, response.json()["error"]) for response in refused} == {(409, "conflict")}
    assert all(int(response.headers["Retry-After"]) >= 1 for response in refused)
    assert len(simulator.journal()) == 1
    assert len(history(service)) == 1


def test_questions_answered_side_by_side_are_all_kept_and_flagged(
    serve: Callable[..., Service], simulator: Simulator, store: dict[str, str]
) -> None:
    """What was answered without sight of the turn before it says so; nothing is dropped."""
    simulator.behave(latency_seconds=1.0)
    service, responses = ask_through_both(
        serve,
        **simulator.settings(CONVERSATION_POLICY="parallel", AGENT_PROGRAM="own_program:support", **store),
    )

    assert [response.status_code for response in responses] == [200] * 10
    turns = history(service)
    assert [turn["seq"] for turn in turns] == list(range(1, 11))
    assert {turn["question"] for turn in turns} == set(QUESTIONS)
    assert [turn["forked_from"] for turn in turns] == [None, *[0] * 9]


def test_a_conversation_that_moved_on_costs_no_call(
    serve: Callable[..., Service], simulator: Simulator, store: dict[str, str]
) -> None:
    """A caller that has not seen another process's turn is told so, the model is not asked."""
    settings = simulator.settings(AGENT_PROGRAM="own_program:support", **store)
    here, there = serve(**settings), serve(**settings)
    assert here.ask("One?", If_Match="0").json()["seq"] == 1
    assert there.ask("Two?", If_Match='"1"').json()["seq"] == 2
    calls = len(simulator.journal())

    moved_on = here.ask("Three?", If_Match="1")

    assert (moved_on.status_code, moved_on.json()["error"]) == (412, "precondition_failed")
    assert "seq 2" in moved_on.json()["detail"]
    assert len(simulator.journal()) == calls
    assert here.ask("Three?", If_Match="2").json()["seq"] == 3
