"""Several programs in one process, each typed by its signature."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

PROGRAMS = "triage=typed_programs:triage,shout=typed_programs:Shout,demo=builtin"
MESSAGE = {"message": "Hello", "language": "en", "people": [{"name": "Ada", "age": 36}]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One process for all tests."""
    service = Service(tmp_path_factory.mktemp("programs"), AGENT_PROGRAM=PROGRAMS)
    yield service
    service.close()


def ask(service: Service, program: str, inputs: dict[str, Any], **more: Any) -> httpx.Response:
    """One query by name."""
    body = {"user_id": "ada", "inputs": inputs, **more.pop("body", {})}
    return service.client.post(f"/api/v1/programs/{program}/query", json=body, **more)


def test_each_is_asked_by_its_own_fields(service: Service) -> None:
    """A typed one that the model fills, one without a model, and the built-in agent."""
    triage = ask(service, "triage", MESSAGE).json()
    shout = ask(service, "shout", {"text": "hi", "times": 2}).json()
    demo = ask(service, "demo", {"question": "What is 17 * 23?"}).json()

    assert triage["outputs"]["label"] in {"good", "bad"}
    assert isinstance(triage["outputs"]["score"], (int, float))
    assert shout["outputs"] == {"shouted": "HIHI", "seen": ""}
    assert (demo["outputs"], demo["tools_used"]) == ({"answer": "391"}, ["calculator"])
    assert all(answer["stored"] for answer in (triage, shout, demo))


def test_the_schemas_are_told(service: Service) -> None:
    """By the listing, the OpenAPI document and ``info``."""
    listed = service.client.get("/api/v1/programs").json()["programs"]
    document = service.client.get("/openapi.json").json()
    info = service.client.get("/api/v1/info").json()

    assert [(each["name"], each["is_plain"]) for each in listed] == [
        ("triage", False),
        ("shout", False),
        ("demo", True),
    ]
    assert listed[0]["inputs"]["required"] == ["message", "language"]
    assert listed[0]["inputs"]["properties"]["message"]["description"] == "what the customer wrote"
    assert "history" not in listed[0]["inputs"]["properties"]
    assert "/api/v1/programs/shout/query" in document["paths"]
    assert "/api/v1/query" not in document["paths"]
    assert (info["program"], info["programs"]) == ("triage", ["triage", "shout", "demo"])
    assert [model["id"] for model in service.client.get("/v1/models").json()["data"]] == ["demo"]


def test_a_conversation_goes_on_by_fields(service: Service) -> None:
    """A program's history has its own fields of its own turns, whatever was said to others in between."""
    at = {"body": {"session_id": "fields"}}
    ask(service, "shout", {"text": "one"}, **at)
    ask(service, "demo", {"question": "What is 2+2?"}, **at)

    again = ask(service, "shout", {"text": "two"}, **at).json()
    turns = service.client.get("/api/v1/users/ada/history?session_id=fields").json()["turns"]

    assert again["outputs"]["seen"] == "ONE"
    assert [(turn["program"], turn["inputs"]) for turn in turns] == [
        ("shout", {"text": "one"}),
        ("demo", None),
        ("shout", {"text": "two"}),
    ]


def test_it_is_followed_and_repeated_like_any_query(service: Service) -> None:
    """Events end with the outputs; the same key gives the same ones and runs nothing."""
    inputs, headers = {"text": "key"}, {"Idempotency-Key": "k1"}
    first = ask(service, "shout", inputs, headers=headers)
    again = ask(service, "shout", inputs, headers=headers)
    other = ask(service, "shout", {"text": "other"}, headers=headers)
    streamed = ask(service, "shout", inputs, headers={"Accept": "text/event-stream"}).text

    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert other.status_code == 422
    assert "event: run.started" in streamed
    assert json.loads(streamed.split("data: ")[-1])["outputs"]["shouted"] == "KEY"


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({**MESSAGE, "language": "fr"}, "inputs.language"),
        ({**MESSAGE, "config": {"api_base": "http://127.0.0.1:1"}}, "inputs.config"),
        ({**MESSAGE, "lm": "openai/gpt"}, "inputs.lm"),
        ({**MESSAGE, "history": {"messages": []}}, "inputs.history"),
        ({**MESSAGE, "people": [{"name": "Ada", "age": "36"}]}, "inputs.people.0.age"),
    ],
)
def test_what_a_signature_does_not_allow_is_refused(service: Service, inputs: Any, field: str) -> None:
    """Nothing of a request reaches a module but its inputs."""
    response = ask(service, "triage", inputs)
    assert response.status_code == 422
    assert [at["field"] for at in response.json()["errors"]] == [field]


def test_a_plain_question_is_told_where_to_go(service: Service) -> None:
    """The default takes none."""
    response = service.ask("Hi?")
    assert response.status_code == 404
    assert "/api/v1/programs/triage/query" in response.json()["detail"]
    assert "triage takes no plain question" in service.output
