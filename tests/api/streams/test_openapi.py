from __future__ import annotations

from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions

PATHS = openapi_document(ApiOptions())["paths"]


def test_both_ways_to_a_stream_are_described() -> None:
    """The path of its own, and the plain one for clients that ask for events."""
    plain, streamed = PATHS["/api/v1/query"]["post"], PATHS["/api/v1/query/stream"]["post"]

    assert list(plain["responses"]["200"]["content"]) == ["application/json", "text/event-stream"]
    assert list(streamed["responses"]["200"]["content"]) == ["text/event-stream"]
    assert [at["name"] for at in streamed["parameters"] if "name" in at] == ["on_disconnect"]


def test_picking_a_stream_up_is_described() -> None:
    """Where, whose and from which place on; that there may be nothing left, or nothing at all."""
    operation = PATHS["/api/v1/queries/{request_id}/events"]["get"]

    named = {at["name"]: (at["in"], at["required"]) for at in operation["parameters"] if "name" in at}
    assert named == {"request_id": ("path", True), "user_id": ("query", True)}
    assert {"$ref": "#/components/parameters/Last-Event-ID"} in operation["parameters"]
    assert {"200", "204", "404", "422", "503"} <= set(operation["responses"])


def test_a_streamed_query_is_refused_as_a_plain_one_is() -> None:
    """The same body, the same headers, the same problems."""
    plain, streamed = PATHS["/api/v1/query"]["post"], PATHS["/api/v1/query/stream"]["post"]

    assert streamed["requestBody"] == plain["requestBody"]
    assert {status: of for status, of in streamed["responses"].items() if status != "200"} == {
        status: of for status, of in plain["responses"].items() if status != "200"
    }
