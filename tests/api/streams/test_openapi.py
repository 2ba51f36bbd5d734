from __future__ import annotations

from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions

PATHS = openapi_document(ApiOptions())["paths"]


def test_both_ways_to_a_stream_are_described() -> None:
    """The path of its own, and the plain one for clients that ask for events."""
    for path, kinds in (
        ("/api/v1/query/stream", ["text/event-stream"]),
        ("/api/v1/query", ["application/json", "text/event-stream"]),
    ):
        operation = PATHS[path]["post"]
        assert list(operation["responses"]["200"]["content"]) == kinds
        assert [at["name"] for at in operation["parameters"] if at.get("in") == "query"] == ["on_disconnect"]


def test_a_streamed_query_is_refused_as_a_plain_one_is() -> None:
    """The same body, the same headers, the same problems."""
    plain, streamed = PATHS["/api/v1/query"]["post"], PATHS["/api/v1/query/stream"]["post"]

    assert streamed["requestBody"] == plain["requestBody"]
    assert {status: of for status, of in streamed["responses"].items() if status != "200"} == {
        status: of for status, of in plain["responses"].items() if status != "200"
    }
