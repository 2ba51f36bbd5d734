"""What the OpenAPI document says of streams. The query itself is described once, as the plain endpoint's."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from agent_service.api.streams.response import MEDIA_TYPE
from agent_service.api.streams.schemas import StreamParameters

Document = dict[str, Any]

_EXAMPLE = """id: 1
event: run.started
data: {"request_id":"6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a","program":"default"}

id: 2
event: answer.delta
data: {"text":"4"}

"""
_EVENTS = {
    MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "description": "Server-sent events: `run.started`, `lm.started`, `lm.finished`, `tool.started`, "
            "`tool.finished`, `answer.delta`, `answer.reset`, then one `answer` (the plain answer) or "
            "`error` (a problem document).",
        },
        "example": _EXAMPLE,
    }
}


def with_streams(paths: Document) -> Document:
    """``paths`` with the endpoints of streams beside the plain query's."""
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
        "/api/v1/query": {"post": {**plain, "parameters": streamed["parameters"]}},
        "/api/v1/query/stream": {"post": streamed},
        **{path: methods for path, methods in paths.items() if path != "/api/v1/query"},
    }


def _parameters(schema: Document) -> list[Document]:
    return [
        {"name": name, "in": "query", "required": False, "description": own.pop("description"), "schema": own}
        for name, own in schema["properties"].items()
    ]
