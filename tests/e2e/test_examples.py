"""Every example, served by one process from its folder as its README says, without a provider."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.processes import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

EXAMPLES = Path(__file__).parents[2] / "examples"
INPUTS: dict[str, dict[str, Any]] = {
    "travel": {"question": "When does the next train leave for Hamburg?"},
    "summary": {"text": "The ferry was late again, and nobody was told why."},
    "triage": {"message": "Where is my parcel?", "is_member": True},
    "policies": {"question": "How long may I send goods back?"},
    "invoices": {"document": "2 chairs at 40.50", "currency": "CHF"},
    "reviews": {"reviews": ["Lovely.", "Too loud.", "It broke."]},
    "optimised": {"news": "The library is open on Sundays from May on."},
    "notes": {"question": "What did I note?"},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The examples' own settings, and nothing else."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    conversations = tmp_path_factory.mktemp("examples") / "conversations.db"
    process = Service(EXAMPLES, PATH=path, MEMORY_PATH=str(conversations))
    yield process
    process.close()


def _described(service: Service, name: str) -> dict[str, Any]:
    response = service.client.get(f"/api/v1/programs/{name}")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def _asked(service: Service, name: str, *, path: str = "") -> httpx.Response:
    body = {"user_id": "ada", "session_id": f"{name}{path[1:]}", "inputs": INPUTS[name]}
    return service.client.post(f"/api/v1/programs/{name}/query{path}", json=body)


def test_each_example_is_served_and_told_of(service: Service) -> None:
    """The list names all of them; the README's table and this test know each."""
    listed = [program["name"] for program in service.client.get("/api/v1/programs").json()["programs"]]

    assert sorted(listed) == sorted(INPUTS)
    documented = re.findall(r"^\| \[`(\w+)`\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_an_answer_has_the_types_that_its_schema_promises(service: Service, name: str) -> None:
    """Inputs and outputs are what the program's description says of them."""
    described = _described(service, name)
    jsonschema.validate(INPUTS[name], described["inputs"])
    response = _asked(service, name)

    assert response.status_code == 200, response.text
    answer = response.json()
    jsonschema.validate(answer["outputs"], described["outputs"])
    assert (answer["stored"], answer["model"]) == (True, "offline")


@pytest.mark.parametrize("name", INPUTS)
def test_a_stream_ends_with_such_an_answer(service: Service, name: str) -> None:
    """Steps first, then the whole answer."""
    streamed = _asked(service, name, path="/stream").text
    events = [
        (block.partition("event: ")[2].partition("\n")[0], block.partition("data: ")[2])
        for block in streamed.split("\n\n")
        if "event: " in block
    ]

    assert [kind for kind, _ in events][:1] == ["run.started"]
    kind, data = events[-1]
    assert kind == "answer", streamed[-500:]
    jsonschema.validate(json.loads(data)["outputs"], _described(service, name)["outputs"])


def test_the_values_are_those_of_the_examples_own_code(service: Service) -> None:
    """What Python calculates in them does not depend on the model: an opinion each, a sum."""
    reviews = _asked(service, "reviews").json()["outputs"]
    total = _asked(service, "invoices").json()["outputs"]["total"]

    assert len(reviews["opinions"]) == 3
    assert 0 <= reviews["good_share"] <= 1
    assert re.fullmatch(r"\d+\.\d\d CHF", total)


def test_the_tools_of_the_notes_come_from_their_server(service: Service) -> None:
    """They are there before the first query."""
    assert sorted(_described(service, "notes")["tools"]) == ["notes_add_note", "notes_list_notes"]
