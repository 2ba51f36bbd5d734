"""Every route asks for the scope that the contract names, and no answer says more than it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from agent_service.api.access.gate import Gate, credential_in, scope_of
from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions
from agent_service.core.errors import IdentityUnavailableError
from tests.api.access.keyholders import Doorkeeper, bearer
from tests.api.conftest import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from starlette.requests import Request

    from agent_service.core.caller import Caller
    from tests.api.conftest import Service

OPEN = {"GET /api/v1/health", "GET /api/v1/live", "GET /api/v1/ready", "GET /api/v1/info"}
RELEASES = "/api/v1/programs/{name}/releases"
OTHERS = {
    "GET /api/v1/metrics": "scraper",
    "POST /api/v1/circuit-breaker/reset": "operator",
    f"GET {RELEASES}": "operator",
    f"POST {RELEASES}": "operator",
    f"POST {RELEASES}/activate": "operator",
    f"POST {RELEASES}/rollback": "operator",
}
ENDPOINTS = [
    (method.upper(), path)
    for path, methods in openapi_document(ApiOptions())["paths"].items()
    for method in methods
]
PAGES = [("GET", path) for path in ("/", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css")]


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that asks for keys."""
    async with service.client(identifying=Doorkeeper()) as client:
        yield client


async def _status(client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]) -> int:
    url = path.format(user_id="ada", request_id="r1", model="fake", name="fake")
    return (await client.request(method, url, headers=headers)).status_code


@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, *PAGES])
async def test_a_route_lets_in_those_whom_the_contract_names(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    """Without a key nobody, with one those whose key has the scope; probes and pages everybody."""
    key = OTHERS.get(f"{method} {path}", "anyone")
    refusals = {name: await _status(client, method, path, bearer(name)) for name in ("anyone", "scraper")}
    refusals |= {name: await _status(client, method, path, bearer(name)) for name in ("operator", "forged")}
    without = await _status(client, method, path, {})

    if f"{method} {path}" in OPEN or (method, path) in PAGES:
        assert {401, 403}.isdisjoint({without, *refusals.values()})
        return
    assert without == refusals.pop("forged") == 401
    assert refusals.pop(key) not in {401, 403}
    assert set(refusals.values()) == {403}


async def test_head_asks_for_what_get_does(client: httpx.AsyncClient) -> None:
    """It is the same handler."""
    assert (await client.head("/api/v1/metrics")).status_code == 401


def test_a_route_that_nobody_thought_of_is_for_queries() -> None:
    """Forgetting to list it must not open it."""
    assert scope_of("/api/v2/anything") == "query"


@pytest.mark.parametrize(
    ("path", "headers", "challenge"),
    [
        ("/api/v1/query", {}, 'Bearer realm="agent-service"'),
        ("/api/v1/query", bearer("forged"), 'Bearer realm="agent-service", error="invalid_token"'),
        (
            "/api/v1/query",
            bearer("scraper"),
            'Bearer realm="agent-service", error="insufficient_scope", scope="query"',
        ),
        ("/v1/responses", bearer("forged"), 'Bearer realm="agent-service", error="invalid_token"'),
    ],
)
async def test_a_refusal_says_how_to_come_back(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], challenge: str
) -> None:
    """As RFC 6750, section 3, has it."""
    response = await client.post(path, headers=headers)

    assert response.headers["www-authenticate"] == challenge


async def test_openai_clients_are_refused_in_their_own_shape(client: httpx.AsyncClient) -> None:
    """Their SDKs raise AuthenticationError and PermissionDeniedError by it."""
    refused = await client.get("/v1/models")
    forbidden = await client.get("/v1/models", headers=bearer("scraper"))

    assert refused.json()["error"]["type"] == "authentication_error"
    assert refused.json()["error"]["code"] == "unauthorized"
    assert forbidden.json()["error"]["type"] == "permission_error"


async def test_the_body_of_a_stranger_is_not_read(service: Service) -> None:
    """Who has no key costs a look at the headers."""
    connection = Connection(service.app(identifying=Doorkeeper()), "/api/v1/query")
    connection.arrives(b"{", more_body=True)

    await connection.serve()

    assert connection.sent[0]["status"] == 401
    assert connection.body_parts_unread == 1


async def test_when_nobody_can_be_known_it_says_when_to_come_back(service: Service) -> None:
    """That is nobody's fault but the service's."""

    class Puzzled:
        async def identify(self, credential: str) -> Caller:
            raise IdentityUnavailableError(retry_after_seconds=7)

    async with service.client(identifying=Puzzled()) as client:
        response = await client.get("/api/v1/users/ada/history", headers=bearer("x"))

    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["error"] == "identity_unavailable"


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ([(b"authorization", b"Bearer k")], "k"),
        ([(b"authorization", b"bearer  k ")], "k"),
        ([(b"x-api-key", b"k")], "k"),
        ([(b"x-api-key", b"k"), (b"authorization", b"Bearer b")], "b"),
        ([(b"authorization", b"Basic eDp5"), (b"x-api-key", b"k")], "k"),
        ([(b"authorization", b"Bearer b"), (b"authorization", b"Bearer c")], "b"),
        ([(b"authorization", b"Basic eDp5")], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer \xff")], "\xff"),
        ([], None),
    ],
)
def test_a_key_comes_in_either_header(headers: list[tuple[bytes, bytes]], credential: str | None) -> None:
    """A bearer's is taken first; a proxy's own ``Authorization`` does not get in the way of ``X-API-Key``."""
    assert credential_in(headers) == credential


async def test_handlers_of_open_routes_stay_as_they_are() -> None:
    """Probes cost what they did."""

    async def handler(_: Request) -> Response:
        return Response()

    handlers = {"GET": handler}
    guarded = Gate(identifying=Doorkeeper()).guarded({"/api/v1/live": handlers, "/v1/models": handlers})

    assert guarded["/api/v1/live"]["GET"] is handler
    assert guarded["/v1/models"]["GET"] is not handler
