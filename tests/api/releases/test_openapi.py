"""The document says of releases what the endpoints take and give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions
from agent_service.api.releases.schemas import Activation, ReleaseAdd, SavedState

if TYPE_CHECKING:
    from pydantic import BaseModel

PATHS = openapi_document(ApiOptions())["paths"]
PATH = "/api/v1/programs/{name}/releases"


def test_each_operation_is_of_a_program_by_its_name() -> None:
    """As the others below it."""
    operations = [PATHS[PATH]["get"], PATHS[PATH]["post"]]
    operations += [PATHS[f"{PATH}/{verb}"]["post"] for verb in ("activate", "rollback")]

    assert [operation["operationId"] for operation in operations] == [
        "listReleases",
        "addRelease",
        "activateRelease",
        "rollBackRelease",
    ]
    for operation in operations:
        assert "name" in {at.get("name") for at in operation["parameters"]}
        assert {"200", "404", "503"} <= set(operation["responses"])


def test_the_note_has_the_bound_that_is_checked() -> None:
    """A client reads it."""
    (note,) = (at for at in PATHS[PATH]["post"]["parameters"] if at.get("name") == "note")

    assert note["in"] == "query"
    assert note["schema"]["maxLength"] == 200
    assert ReleaseAdd(note="x" * 200).note


def test_the_examples_are_taken() -> None:
    """A caller may begin with them."""
    models: dict[str, type[BaseModel]] = {PATH: SavedState, f"{PATH}/activate": Activation}
    for path, model in models.items():
        example = PATHS[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert model.model_validate_json(json.dumps(example)).model_dump(mode="json") == example
