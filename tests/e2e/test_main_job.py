"""The main job: a question over HTTP through a real DSPy agent to stored memory and back."""

from __future__ import annotations

import signal
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service, Simulator


def test_with_no_settings_the_offline_engine_calculates_with_its_tool(serve: Callable[..., Service]) -> None:
    """A stranger's first question is answered, and the answer says who answered."""
    service = serve()

    response = service.ask("What is 2+2?")

    answer = response.json()
    assert response.status_code == 200
    assert "4" in answer["answer"]
    assert answer["model"] == "offline"
    assert answer["tools_used"] == ["calculator"]
    assert answer["reasoning_steps"] == 1
    assert answer["stored"] is True
    assert answer["degraded"] == []
    assert answer["session_id"] == "default"
    assert answer["usage"]["lm_calls"] >= 2
    assert answer["usage"]["total_tokens"] > 0
    assert str(uuid.UUID(answer["request_id"])) == response.headers["x-request-id"]


def test_a_conversation_is_remembered_over_a_restart_and_by_its_user_alone(
    serve: Callable[..., Service],
) -> None:
    """What was asked is recalled, after a restart too; another user sees nothing of it."""
    first = serve()
    first.ask("What is 2+2?")
    assert "What is 2+2?" in first.ask("What did I ask before?").json()["answer"]
    first.signal(signal.SIGTERM)
    assert first.status() == 0

    second = serve()

    assert "What is 2+2?" in second.ask("What did I ask before?").json()["answer"]
    assert "2+2" not in second.ask("What did I ask before?", user_id="bob").json()["answer"]
    history = second.client.get("/api/v1/users/ada/history").json()
    assert [turn["seq"] for turn in history["turns"]] == [1, 2, 3]
    assert second.client.delete("/api/v1/users/ada/history").json()["deleted_turns"] == 3
    assert second.client.get("/api/v1/users/ada/history").json()["turns"] == []
    assert len(second.client.get("/api/v1/users/bob/history").json()["turns"]) == 1


def test_a_configured_model_is_called_by_the_real_provider_client(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """The provider sees each LM call and, in a later question's prompt, the earlier turns."""
    service = serve(**simulator.settings())

    first = service.ask("What is 2+2?").json()
    service.ask("What did I ask before?")

    journal = simulator.journal()
    prompts = [str(entry["messages"]) for entry in journal]
    assert "4" in first["answer"]
    assert first["model"] == "openai/gpt-4o-mini"
    assert first["tools_used"] == ["calculator"]
    assert first["usage"]["lm_calls"] == 3
    assert len(journal) == 5
    assert all(entry["model"] == "gpt-4o-mini" for entry in journal)
    assert not any("User: What is 2+2?" in prompt for prompt in prompts[:3])
    assert all("User: What is 2+2?" in prompt for prompt in prompts[3:])


def test_several_conversations_of_one_user_are_kept_apart(serve: Callable[..., Service]) -> None:
    """A session_id names one conversation of a user; without one the default is meant."""
    service = serve()
    body = {"user_id": "ada", "session_id": "work", "question": "My name is Ada"}
    assert service.client.post("/api/v1/query", json=body).json()["session_id"] == "work"

    default = service.client.get("/api/v1/users/ada/history").json()
    work = service.client.get("/api/v1/users/ada/history", params={"session_id": "work"}).json()

    assert default["turns"] == []
    assert [turn["question"] for turn in work["turns"]] == ["My name is Ada"]


def test_a_program_of_the_user_is_served_by_its_import_string(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """A module with ``forward`` only answers from a thread; its own fields carry question and answer."""
    service = serve(**simulator.settings(AGENT_PROGRAM="own_program:support"))

    answer = service.ask("What is 2+2?").json()

    assert answer["stored"] is True
    assert answer["usage"]["lm_calls"] == 1
    assert service.client.get("/api/v1/info").json()["program"] == "support"


def test_a_program_that_cannot_be_served_stops_the_start_with_its_reason(
    serve: Callable[..., Service],
) -> None:
    """Nobody waits for a service that cannot answer."""
    service = serve(AGENT_PROGRAM="own_program:missing")

    assert service.status() == 1
    assert "own_program has no attribute missing" in service.output
    assert "Traceback" not in service.output


def test_wrong_settings_stop_the_start_with_one_message_that_lists_them_all(
    serve: Callable[..., Service],
) -> None:
    """Each wrong variable is named with its value and what is allowed; secrets are masked."""
    service = serve(SERVER_PORT="http", AGENT_POOL_SIZE="-1", AGENT_API_KEY="ge heim", LOG_LEVEL="loud")

    assert service.status() == 2
    for variable in ("SERVER_PORT", "AGENT_POOL_SIZE", "AGENT_API_KEY", "LOG_LEVEL"):
        assert variable in service.output
    assert "heim" not in service.output
