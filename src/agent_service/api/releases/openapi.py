"""What the OpenAPI document says of releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.api.programs.openapi import NAME_PARAMETER, TAG
from agent_service.api.releases.schemas import Activation, ReleaseAdd, ReleaseAdded, ReleaseList, SavedState
from agent_service.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import BaseModel

    from agent_service.core.errors import ServiceError

Document = dict[str, Any]

MODELS: tuple[type[BaseModel], ...] = (Activation, ReleaseAdded, ReleaseList, SavedState)

_REF = "#/components/schemas/"
_PATH = "/api/v1/programs/{name}/releases"
_ALL = (errors.NotFoundError("This service keeps no releases."), errors.ReleasesUnavailableError())
_REFUSED = errors.InvalidRequestError("default has no release 9; there are d7170dca7a2e, base.")
_BODY = (errors.PayloadTooLargeError(), errors.UnsupportedMediaTypeError())
_EMPTY = errors.MalformedRequestError("The body is empty; send a JSON object.")
_SOON = "Every process takes a change over within about a second; no query is dropped."


def release_paths(refusals: Callable[[Sequence[ServiceError]], Document]) -> Document:
    """The operations over releases; ``refusals`` gives the responses that are problems, by status."""
    listing = _operation("listReleases", "List a program's releases", ReleaseList, refusals(_ALL))
    adding = _operation(
        "addRelease",
        "Add a release",
        ReleaseAdded,
        refusals((*_ALL, *_BODY, _REFUSED)),
        description="The body is what `program.save` wrote, at most 16 MiB; the same content is one release.",
        body=SavedState,
    )
    note = dict(ReleaseAdd.model_json_schema()["properties"]["note"])
    adding["parameters"].append(
        {"name": "note", "in": "query", "description": note.pop("description"), "schema": note}
    )
    activating = _operation(
        "activateRelease",
        "Let a version answer",
        ReleaseList,
        refusals((*_ALL, *_BODY, _EMPTY, _REFUSED)),
        description=f"Everybody, or a share of the conversations. {_SOON}",
        body=Activation,
    )
    rolling_back = _operation(
        "rollBackRelease",
        "Take a version back",
        ReleaseList,
        refusals((*_ALL, errors.InvalidRequestError("default: no version was active before this one."))),
        description=f"Ends the canary; without one, what was active before is again. {_SOON}",
    )
    return {
        _PATH: {"get": listing, "post": adding},
        f"{_PATH}/activate": {"post": activating},
        f"{_PATH}/rollback": {"post": rolling_back},
    }


def _operation(
    name: str,
    summary: str,
    answer: type[BaseModel],
    refusals: Document,
    *,
    description: str = "",
    body: type[BaseModel] | None = None,
) -> Document:
    operation: Document = {
        "operationId": name,
        "tags": [TAG["name"]],
        "summary": summary,
        "description": description,
        "parameters": [{"$ref": "#/components/parameters/X-Request-ID"}, NAME_PARAMETER],
        "responses": {
            "200": {
                "description": answer.__doc__,
                "headers": {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}},
                "content": {"application/json": _content(answer)},
            },
            **refusals,
        },
    }
    if body is not None:
        content = {"application/json": _content(body)}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(model: type[BaseModel]) -> Document:
    told: Any = model.model_config["json_schema_extra"]
    return {"schema": {"$ref": _REF + model.__name__}, "example": told["examples"][0]}
