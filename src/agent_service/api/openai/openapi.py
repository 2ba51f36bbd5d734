"""What the OpenAPI document says of the OpenAI-compatible endpoints; their refusals are those of a query."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agent_service.api.openai.answers import Completion, ErrorAnswer, Model, ModelList, ProgramResponse
from agent_service.api.openai.errors import error_document
from agent_service.api.openai.schemas import ChatRequest, ResponseRequest
from agent_service.api.problems import PROBLEM_MEDIA_TYPE
from agent_service.core.errors import NotFoundError

if TYPE_CHECKING:
    from pydantic import BaseModel

Document = dict[str, Any]

MODELS: tuple[type[BaseModel], ...] = (
    ChatRequest,
    Completion,
    ErrorAnswer,
    Model,
    ModelList,
    ProgramResponse,
    ResponseRequest,
)
TAG = {
    "name": "openai",
    "description": "Ask the agent with any client of OpenAI's API: a program is a model.",
}

_REF = "#/components/schemas/{model}"
_NOT_FOR_OPENAI = "412"
_EVENTS = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "description": "One server-sent event, as OpenAI sends them.",
            "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
            "required": ["data"],
        },
        "example": {"data": "[DONE]"},
    }
}
_HEADERS = ({"$ref": "#/components/parameters/X-Request-ID"},)
_MODEL_PARAMETER = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "A name that /v1/models lists.",
    "schema": {"type": "string"},
    "example": "default",
}


def with_openai(paths: Document) -> Document:
    """``paths`` with the OpenAI-compatible endpoints, refused as the plain query is."""
    refusals = _refusals(paths["/api/v1/query"]["post"]["responses"])
    bug = {"500": _internal(refusals["500"])}
    missing = {"404": refusals["404"]}
    return paths | {
        "/v1/models": {
            "get": _operation("listModels", "List the programs", {"200": _answer(ModelList), **bug})
        },
        "/v1/models/{model}": {
            "get": _operation(
                "retrieveModel",
                "Read one program",
                {"200": _answer(Model), **missing, **bug},
                _MODEL_PARAMETER,
            )
        },
        "/v1/chat/completions": {
            "post": _question(
                "createChatCompletion", "Ask with a conversation", ChatRequest, _answer(Completion), refusals
            )
        },
        "/v1/responses": {
            "post": _question(
                "createResponse",
                "Ask, and continue an earlier answer",
                ResponseRequest,
                _answer(ProgramResponse),
                refusals,
            )
        },
    }


def _question(
    name: str, summary: str, body: type[BaseModel], answer: Document, refusals: Document
) -> Document:
    answer["content"] |= _EVENTS
    timeout = {"$ref": "#/components/parameters/X-Request-Timeout"}
    operation = _operation(name, summary, {"200": answer, **refusals}, timeout)
    return operation | {"requestBody": {"required": True, "content": {"application/json": _content(body)}}}


def _operation(name: str, summary: str, responses: Document, *parameters: Document) -> Document:
    return {
        "operationId": name,
        "tags": [TAG["name"]],
        "summary": summary,
        "description": "As in OpenAI's API reference; see docs/api.md for what is particular here.",
        "parameters": [*_HEADERS, *parameters],
        "responses": responses,
    }


def _answer(model: type[BaseModel]) -> Document:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    content = {"application/json": _content(model)}
    return {"description": model.__doc__, "headers": headers, "content": content}


def _content(model: type[BaseModel]) -> Document:
    extra: Any = model.model_config["json_schema_extra"]
    return {"schema": {"$ref": _REF.format(model=model.__name__)}, "example": extra["examples"][0]}


def _refusals(responses: Document) -> Document:
    """The problems of a query in OpenAI's shape, and that of a model or a response that is not there."""
    refusals: Document = {"404": _missing(responses["500"]["headers"])}
    for status, response in responses.items():
        problems = response["content"].get(PROBLEM_MEDIA_TYPE)
        if problems is not None and status != _NOT_FOR_OPENAI:
            refusals[status] = deepcopy(response) | {"content": {"application/json": _errors(problems)}}
    return dict(sorted(refusals.items()))


def _internal(response: Document) -> Document:
    """A bug, which alone can happen where no query runs."""
    found: Document = deepcopy(response)
    content = found["content"]["application/json"]
    content["examples"] = {"internal_error": content["examples"]["internal_error"]}
    return found


def _missing(headers: Document) -> Document:
    error = NotFoundError("No such model is served; there is 'default'.")
    example = {"error": error_document(404, error.code, error.detail).model_dump()}
    content = {"schema": {"$ref": _REF.format(model="ErrorAnswer")}, "example": example}
    description = f"`{error.code}`: {error.title}"
    return {"description": description, "headers": headers, "content": {"application/json": content}}


def _errors(problems: Document) -> Document:
    examples = {}
    for code, named in problems["examples"].items():
        problem = named["value"]
        error = error_document(problem["status"], problem["error"], problem["detail"]).model_dump()
        examples[code] = {"summary": named["summary"], "value": {"error": error}}
    return {"schema": {"$ref": _REF.format(model="ErrorAnswer")}, "examples": examples}
