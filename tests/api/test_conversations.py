"""Reading and erasing what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, Turn
from tests.api.conftest import FAKE

if TYPE_CHECKING:
    import httpx

    from tests.api.conftest import Service


async def _remember(service: Service, conversation: ConversationId, turns: int = 1) -> None:
    for number in range(1, turns + 1):
        turn = Turn(f"id-{number}", f"q{number}", f"a{number}", 1_700_000_000.5, model="fake-model")
        await service.store.commit(conversation, turn, base_seq=number - 1)


def _path(user_id: str) -> str:
    return f"/api/v1/users/{quote(user_id, safe='')}/history"


async def test_a_page_has_exactly_the_fields_of_the_contract(
    service: Service, client: httpx.AsyncClient
) -> None:
    """A turn comes back with its place, its texts and its time in UTC."""
    await _remember(service, ConversationId("ada"))

    response = await client.get(_path("ada"))

    assert response.status_code == 200
    assert response.json() == {
        "user_id": "ada",
        "session_id": "default",
        "turns": [
            {
                "seq": 1,
                "question": "q1",
                "answer": "a1",
                "at": "2023-11-14T22:13:20.500000Z",
                "turn_id": "id-1",
                "model": "fake-model",
                "program": "",
                "inputs": None,
                "outputs": None,
                "forked_from": None,
            }
        ],
        "next_before_seq": None,
    }


async def test_pages_lead_to_older_turns(service: Service, client: httpx.AsyncClient) -> None:
    """The newest turns come first, newest last within a page, and ``next_before_seq`` asks for the rest."""
    await _remember(service, ConversationId("ada", "s"), turns=25)

    newest = (await client.get(_path("ada"), params={"session_id": "s"})).json()
    older = await client.get(
        _path("ada"), params={"session_id": "s", "limit": 100, "before_seq": newest["next_before_seq"]}
    )

    assert [turn["seq"] for turn in newest["turns"]] == list(range(6, 26))
    assert [turn["seq"] for turn in older.json()["turns"]] == list(range(1, 6))
    assert older.json()["next_before_seq"] is None


async def test_an_unknown_user_has_an_empty_history(client: httpx.AsyncClient) -> None:
    """Nothing remembered is an empty page, not an error."""
    response = await client.get(_path("nobody"))

    assert response.status_code == 200
    assert response.json()["turns"] == []


@pytest.mark.parametrize("user_id", ["a/b", "a/history", "/", "a b", "Zoë", "%2F", "a?b#c", "日本"])
async def test_any_printable_user_can_be_read(
    service: Service, client: httpx.AsyncClient, user_id: str
) -> None:
    """A percent-encoded id, a slash in it included, names exactly that user."""
    await _remember(service, ConversationId(user_id))

    body = (await client.get(_path(user_id))).json()

    assert body["user_id"] == user_id
    assert len(body["turns"]) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/users//history", "user_id"),
        ("/api/v1/users/%20/history", "user_id"),
        ("/api/v1/users/a%00b/history", "user_id"),
        ("/api/v1/users/%FF/history", "user_id"),
        (_path("u" * 129), "user_id"),
        (_path("ada") + "?session_id=", "session_id"),
        (_path("ada") + "?session_id=%FF", "session_id"),
        (_path("ada") + "?session_id=a&session_id=b", "session_id"),
        (_path("ada") + "?sesion_id=a", "sesion_id"),
        (_path("ada") + "?user_id=eve", "user_id"),
    ],
)
async def test_what_is_not_understood_is_refused_by_name(
    service: Service, client: httpx.AsyncClient, method: str, path: str, field: str
) -> None:
    """A mistyped or repeated parameter never widens what is read or erased."""
    await _remember(service, ConversationId("ada"))

    response = await client.request(method, path)

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert len(service.store.turns) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("limit", ""),
        ("before_seq", "0"),
        ("before_seq", "-1"),
        ("before_seq", str(2**63)),
        ("before_seq", "1.5"),
    ],
)
async def test_numbers_out_of_range_are_refused(client: httpx.AsyncClient, name: str, value: str) -> None:
    """A page's bounds are those of the contract and of what a store can hold."""
    response = await client.get(_path("ada"), params={name: value})

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == name


async def test_erasing_a_session_leaves_the_others(service: Service, client: httpx.AsyncClient) -> None:
    """With a session only that conversation goes."""
    await _remember(service, ConversationId("ada", "s"), turns=3)
    await _remember(service, ConversationId("ada"))

    response = await client.delete(_path("ada"), params={"session_id": "s"})

    assert response.json() == {"user_id": "ada", "session_id": "s", "deleted_turns": 3}
    assert list(service.store.turns) == [ConversationId("ada")]


async def test_erasing_a_user_takes_all_sessions_and_nobody_elses(
    service: Service, client: httpx.AsyncClient
) -> None:
    """Without a session all of the user's conversations go."""
    await _remember(service, ConversationId("ada", "s"), turns=3)
    await _remember(service, ConversationId("ada"))
    await _remember(service, ConversationId("eve"))

    response = await client.delete(_path("ada"))

    assert response.json() == {"user_id": "ada", "session_id": None, "deleted_turns": 4}
    assert list(service.store.turns) == [ConversationId("eve")]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_store_that_fails_is_told(service: Service, client: httpx.AsyncClient, method: str) -> None:
    """An unavailable store is 503 with a time to come back."""
    service.store.failure = MemoryUnavailableError()

    response = await client.request(method, _path("ada"))

    assert response.status_code == 503
    assert response.json()["error"] == "memory_unavailable"
    assert response.headers["retry-after"] == "1"


async def test_the_list_of_a_user_s_sessions(service: Service, client: httpx.AsyncClient) -> None:
    """Each conversation with its size and its newest turn's place and time; nobody else's."""
    await _remember(service, ConversationId("a/b", "trip"), turns=3)
    await _remember(service, ConversationId("a/b"))
    await _remember(service, ConversationId("eve"))
    at = "2023-11-14T22:13:20.500000Z"

    response = await client.get("/api/v1/users/a%2Fb/sessions")

    assert response.status_code == 200
    assert response.json() == {
        "user_id": "a/b",
        "sessions": [
            {"session_id": "default", "turns": 1, "last_seq": 1, "last_at": at},
            {"session_id": "trip", "turns": 3, "last_seq": 3, "last_at": at},
        ],
        "next_after": None,
    }


@pytest.mark.parametrize("sessions", [4, 5])
async def test_pages_lead_through_all_sessions(
    service: Service, client: httpx.AsyncClient, sessions: int
) -> None:
    """``next_after`` asks for the rest, and is null on the last page, a full one too."""
    for number in range(sessions):
        await _remember(service, ConversationId("ada", f"s{number}"))
    seen: list[list[str]] = []
    parameters = {"limit": "2"}
    while not seen or "after" in parameters:
        body = (await client.get("/api/v1/users/ada/sessions", params=parameters)).json()
        seen.append([session["session_id"] for session in body["sessions"]])
        parameters = {"limit": "2"} | ({"after": body["next_after"]} if body["next_after"] else {})

    assert [session for page in seen for session in page] == [f"s{number}" for number in range(sessions)]
    assert len(seen) == (sessions + 1) // 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("after=", "after"),
        ("after=%FF", "after"),
        ("before=a", "before"),
    ],
)
async def test_a_list_of_sessions_that_is_not_understood_is_refused(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    """A parameter out of range, or mistyped, is named."""
    response = await client.get(f"/api/v1/users/ada/sessions?{query}")

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_a_store_that_cannot_list_is_told(service: Service, client: httpx.AsyncClient) -> None:
    """An unavailable store is 503, not an empty list."""
    service.store.failure = MemoryUnavailableError()

    response = await client.get("/api/v1/users/ada/sessions")

    assert response.status_code == 503
    assert response.json()["error"] == "memory_unavailable"


async def test_a_fork_tells_what_it_was_answered_on_sight_of(
    service: Service, client: httpx.AsyncClient
) -> None:
    """A turn that others came before shows the last seq its agent had seen."""
    for number, base_seq in enumerate((0, 1, 1), start=1):
        turn = Turn(f"id-{number}", "q", "a", 1_700_000_000.0)
        await service.store.commit(ConversationId("ada"), turn, base_seq=base_seq)

    turns = (await client.get(_path("ada"))).json()["turns"]

    assert [turn["forked_from"] for turn in turns] == [None, None, 1]


async def test_turns_of_a_program_that_takes_no_question_have_its_fields(service: Service) -> None:
    """By name; one that was kept when the program was another has its texts alone."""
    service.programs = (replace(FAKE, name="typed", question_input=None), FAKE)
    for question, answer, program in [
        ('{"topic": "x"}', '{"plan": [1]}', "typed"),
        ("old", "[]", "typed"),
        ('{"topic": "x"}', "{}", "fake"),
    ]:
        turn = Turn(question, question, answer, 0.0, program=program)
        await service.store.commit(ConversationId("ada"), turn, base_seq=0)
    async with service.client() as client:
        turns = (await client.get(_path("ada"))).json()["turns"]

    assert [(turn["program"], turn["inputs"], turn["outputs"]) for turn in turns] == [
        ("typed", {"topic": "x"}, {"plan": [1]}),
        ("typed", None, None),
        ("fake", None, None),
    ]
    assert turns[0]["question"] == '{"topic": "x"}'
