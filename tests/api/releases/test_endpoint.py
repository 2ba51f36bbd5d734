"""Operators with a key manage releases over HTTP; nobody else does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.releases.base import MAX_STATE_BYTES, ReleaseError, version_of
from agent_service.releases.folder import FolderShelf
from agent_service.releases.operator import ReleaseOperator
from agent_service.testing import FakeClock
from tests.api.access.keyholders import Doorkeeper, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from tests.api.conftest import Service

PATH = "/api/v1/programs/fake/releases"
STATE = json.dumps({"metadata": {}, "predict": {"demos": []}}).encode()
VERSION = version_of(STATE)
JSON = {"Content-Type": "application/json"}
ADDED = {"version": VERSION, "added_at": "1970-01-01T00:00:07Z", "note": "with demos"}


def _check(program: str, state: bytes) -> None:
    if b"stranger" in state:
        raise ReleaseError(f"{program} has other fields")


def _operator(folder: Path) -> ReleaseOperator:
    return ReleaseOperator(shelf=FolderShelf(folder, clock=FakeClock(wall=7.0)), check=_check)


@pytest.fixture
async def client(service: Service, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An operator with a key, of a service that keeps releases."""
    async with service.client(identifying=Doorkeeper(), release_operator=_operator(tmp_path)) as client:
        client.headers.update(bearer("operator"))
        yield client


async def _add(client: httpx.AsyncClient, state: bytes = STATE, note: str = "with demos") -> httpx.Response:
    return await client.post(PATH, params={"note": note}, content=state, headers=JSON)


async def _activate(client: httpx.AsyncClient, **asked: Any) -> httpx.Response:
    return await client.post(f"{PATH}/activate", json=asked)


async def test_a_release_goes_its_way(client: httpx.AsyncClient) -> None:
    """Added, tried out, activated, taken back; each answer says how the program stands."""
    beginning: dict[str, Any] = {
        "program": "fake",
        "active": "base",
        "canary": None,
        "percent": 0.0,
        "earlier": [],
    }
    assert (await client.get(PATH)).json() == {**beginning, "releases": []}

    assert (await _add(client)).json() == ADDED
    tried = await _activate(client, version=VERSION[:4], percent=12.5)
    active = await _activate(client, version=VERSION)
    back = await client.post(f"{PATH}/rollback")

    assert tried.json() == {**beginning, "canary": VERSION, "percent": 12.5, "releases": [ADDED]}
    assert active.json() == {**beginning, "active": VERSION, "earlier": ["base"], "releases": [ADDED]}
    assert back.json() == (await client.get(PATH)).json() == {**beginning, "releases": [ADDED]}


async def test_a_state_is_kept_byte_for_byte(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Its version is that of the same file on the command line."""
    await _add(client)

    assert (tmp_path / "fake" / f"{VERSION}.json").read_bytes() == STATE


@pytest.mark.parametrize(
    ("state", "status", "detail"),
    [
        (b'{"stranger": {}}', 422, "fake has other fields."),
        (b"[]", 422, "a state is a JSON object, as program.save writes it."),
        (b" " * (MAX_STATE_BYTES + 1), 413, f"The body may have at most {MAX_STATE_BYTES} bytes."),
    ],
)
async def test_what_is_no_state_of_the_program_is_refused(
    client: httpx.AsyncClient, state: bytes, status: int, detail: str
) -> None:
    """With the reason, and nothing is kept."""
    response = await _add(client, state)

    assert (response.status_code, response.json()["detail"]) == (status, detail)
    assert (await client.get(PATH)).json()["releases"] == []


async def test_a_state_may_be_longer_than_a_question(service: Service, tmp_path: Path) -> None:
    """Only its own bound holds for it."""
    operator = _operator(tmp_path)
    async with service.client(identifying=Doorkeeper(), release_operator=operator) as client:
        client.headers.update(bearer("operator"))
        state = json.dumps({"metadata": "x" * 2 * service.options.max_body_bytes}).encode()
        assert (await _add(client, state)).status_code == 200


@pytest.mark.parametrize(
    "parameters", [{"note": "x" * 201}, {"note": "two\nlines"}, {"name": "other"}, {"x": 1}]
)
async def test_what_else_is_said_of_a_release_is_checked(
    client: httpx.AsyncClient, parameters: dict[str, Any]
) -> None:
    """The note is a short line, and there is nothing else to say."""
    response = await client.post(PATH, params=parameters, content=STATE, headers=JSON)

    assert response.status_code == 422


@pytest.mark.parametrize(
    "asked",
    [
        {"version": "nope"},
        {"version": ""},
        {"version": "base", "percent": 0},
        {"version": "base", "percent": 101},
        {"version": "base", "percent": "10"},
        {"version": "base", "percent": 10},
        {"version": "base", "x": 1},
        {},
    ],
)
async def test_what_cannot_be_activated_is_refused(client: httpx.AsyncClient, asked: dict[str, Any]) -> None:
    """An unknown version, a share that is none, a trial of what is active."""
    response = await _activate(client, **asked)

    assert (response.status_code, response.json()["error"]) == (422, "invalid_request")


async def test_where_nothing_was_active_before_nothing_is_taken_back(client: httpx.AsyncClient) -> None:
    """The words say why."""
    response = await client.post(f"{PATH}/rollback")

    assert response.status_code == 422
    assert response.json()["detail"] == "fake: no version was active before this one."


REQUESTS = [("GET", PATH), ("POST", PATH), ("POST", f"{PATH}/activate"), ("POST", f"{PATH}/rollback")]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_where_nobody_is_asked_for_a_key_nobody_may(
    service: Service, tmp_path: Path, method: str, path: str
) -> None:
    """Else whoever reaches the port could change what everybody is answered."""
    operator = _operator(tmp_path)
    async with service.client(release_operator=operator) as client:
        response = await client.request(method, path, content=STATE, headers=JSON)

    assert (response.status_code, response.json()["error"]) == (403, "forbidden")
    assert "API_KEYS_FILE" in response.json()["detail"]
    assert (await operator.inventory("fake")).releases == ()


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_where_no_releases_are_kept_the_setting_is_named(
    service: Service, method: str, path: str
) -> None:
    """So is what programs there are, where the one that is named is not."""
    async with service.client(identifying=Doorkeeper()) as client:
        client.headers.update(bearer("operator"))
        none = await client.request(method, path, content=STATE, headers=JSON)
        unknown = await client.request(method, path.replace("fake", "nope"), content=STATE, headers=JSON)

    assert (none.status_code, unknown.status_code) == (404, 404)
    assert "AGENT_RELEASES_PATH" in none.json()["detail"]
    assert unknown.json()["detail"] == "No such program is served; there is fake."


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_a_shelf_that_cannot_be_reached_is_told(
    service: Service, tmp_path: Path, method: str, path: str
) -> None:
    """Without saying where it is; it may be there again later."""
    (tmp_path / "file").touch()
    operator = _operator(tmp_path / "file")
    content = b'{"version": "base"}' if path.endswith("activate") else STATE
    async with service.client(identifying=Doorkeeper(), release_operator=operator) as client:
        client.headers.update(bearer("operator"))
        response = await client.request(method, path, content=content, headers=JSON)

    assert (response.status_code, response.json()["error"]) == (503, "releases_unavailable")
    assert response.headers["retry-after"] == "1"
    assert str(tmp_path) not in response.text


async def test_a_change_is_logged(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """Within the request, whose lines have the id of the key."""
    with caplog.at_level("INFO", "agent_service.api.releases"):
        await _add(client)
        await _activate(client, version=VERSION)
        await client.post(f"{PATH}/rollback")

    added, activated, back = [record.getMessage() for record in caplog.records]
    assert added == f"fake: release {VERSION} was added"
    assert f"fake: releases were changed to Standing(active='{VERSION}'" in activated
    assert "fake: releases were changed to Standing(active='base'" in back
