"""What the OpenAPI document says of streams. The query itself is described once, as the plain endpoint's."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from agent_service.api.streams.response import MEDIA_TYPE
from agent_service.api.streams.schemas import ResumeParameters, StreamParameters

Document = dict[str, Any]

_KINDS = (
    "run.started",
    "lm.started",
    "lm.finished",
    "tool.started",
    "tool.finished",
    "answer.delta",
    "answer.reset",
    "answer",
    "error",
)
_EVENTS = {
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "description": "One server-sent event. The last one is `answer`, whose data is the plain answer, "
            "or `error`, whose data is a problem document.",
            "properties": {
                "id": {"type": "string", "pattern": "^[0-9]+$"},
                "event": {"type": "string", "examples": list(_KINDS)},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
            "required": ["event", "data"],
        },
        "example": {"id": "10", "event": "answer.delta", "data": '{"text":"4"}'},
    }
}


def with_streams(paths: Document, *, resume_refusals: Document) -> Document:
    """``paths`` with the endpoints of streams beside the plain query's.

    ``resume_refusals`` are the problems, by status, with which picking a stream up may be answered.
    """
    plain = deepcopy(paths["/api/v1/query"]["post"])
    streamed = deepcopy(plain)
    plain["responses"]["200"]["content"] |= _EVENTS
    plain["description"] += " A client that prefers `text/event-stream` gets events, as from the other path."
    streamed |= {
        "operationId": "streamQuery",
        "summary": "Ask the agent and follow its steps",
        "description": "The same query. What is refused is answered with a status, as by the plain endpoint; "
        "what goes wrong after the first event is the last one.",
        "parameters": [*streamed["parameters"], *_parameters(StreamParameters.model_json_schema())],
    }
    streamed["responses"]["200"] |= {"description": "The events of the run.", "content": _EVENTS}
    return {
        "/api/v1/query": {"post": plain},
        "/api/v1/query/stream": {"post": streamed},
        "/api/v1/queries/{request_id}/events": {"get": _resume(streamed, resume_refusals)},
        **{path: methods for path, methods in paths.items() if path != "/api/v1/query"},
    }


def _resume(streamed: Document, refusals: Document) -> Document:
    response = streamed["responses"]["200"]
    return {
        "operationId": "resumeStream",
        "tags": streamed["tags"],
        "summary": "Pick a stream up again",
        "description": "Sends the events behind `Last-Event-ID`, and those to come, from any worker, while "
        "the run lasts and for a while after. Leaving it does not stop the run.",
        "parameters": [
            {"$ref": "#/components/parameters/X-Request-ID"},
            {"$ref": "#/components/parameters/Last-Event-ID"},
            *_parameters(ResumeParameters.model_json_schema(), in_path="request_id"),
        ],
        "responses": {
            "200": response,
            "204": {"description": "That was the last event.", "headers": response["headers"], "content": {}},
            **refusals,
        },
    }


def _parameters(schema: Document, in_path: str = "") -> list[Document]:
    return [
        {
            "name": name,
            "in": "path" if name == in_path else "query",
            "required": name in schema.get("required", ()),
            "description": own.pop("description"),
            "schema": own,
        }
        for name, own in schema["properties"].items()
    ]
