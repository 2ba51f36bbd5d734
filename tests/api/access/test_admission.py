"""A key that belongs to a user opens nothing of another's, at any endpoint."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.access.base import ANSWER_HEADERS
from agent_service.api.access.admission import Admission
from agent_service.core.caller import CALLER, Caller
from agent_service.core.errors import ForbiddenError, RateLimitedError
from agent_service.core.messages import ConversationId, Turn
from tests.api.access.keyholders import CountingLimits, Doorkeeper, bearer

if TYPE_CHECKING:
    from tests.api.conftest import Service

HI = [{"role": "user", "content": "Hi"}]
ABOUT_A_USER: list[tuple[str, str, Any]] = [
    ("POST", "/api/v1/query", {"user_id": "{user}", "question": "Hi"}),
    ("POST", "/api/v1/query/stream", {"user_id": "{user}", "question": "Hi"}),
    ("GET", "/api/v1/users/{user}/history", None),
    ("DELETE", "/api/v1/users/{user}/history", None),
    ("GET", "/api/v1/users/{user}/sessions", None),
    ("GET", "/api/v1/queries/r1/events?user_id={user}", None),
    ("POST", "/v1/chat/completions", {"model": "fake", "user": "{user}", "messages": HI}),
    ("POST", "/v1/responses", {"model": "fake", "metadata": {"user_id": "{user}"}, "input": "Hi"}),
]


def _named(user: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _named(user, item) for name, item in value.items()}
    return value.replace("{user}", user) if isinstance(value, str) else value


@pytest.mark.parametrize(("method", "path", "body"), ABOUT_A_USER)
async def test_a_bound_key_is_for_its_own_user(service: Service, method: str, path: str, body: Any) -> None:
    """Asking, reading, erasing, picking up a stream: another user's is 403, and nothing happens."""
    conversation = ConversationId("grace")
    await service.store.commit(conversation, Turn("t1", "q", "a", 0.0), base_seq=0)
    async with service.client(identifying=Doorkeeper()) as client:
        own = await client.request(
            method, _named("ada", path), json=_named("ada", body), headers=bearer("ada")
        )
        other = await client.request(
            method, _named("grace", path), json=_named("grace", body), headers=bearer("ada")
        )

    assert own.status_code != 403
    assert other.status_code == 403
    assert "forbidden" in other.text
    assert service.store.turns[conversation]
    assert {query.conversation.user_id for query in service.answering.queries} <= {"ada"}


@pytest.mark.parametrize(("method", "path", "body"), ABOUT_A_USER)
async def test_limits_are_asked_wherever_a_user_is_named(
    service: Service, method: str, path: str, body: Any
) -> None:
    """Before the work begins, and once; they learn whether a model will be used."""
    limits = CountingLimits()
    async with service.client(identifying=Doorkeeper(), limits=limits) as client:
        await client.request(method, _named("ada", path), json=_named("ada", body), headers=bearer("anyone"))
        limits.refused.add("grace")
        refused = await client.request(
            method, _named("grace", path), json=_named("grace", body), headers=bearer("anyone")
        )

    assert limits.admitted == [("anyone", "ada", "query" if method == "POST" else "conversation")]
    assert refused.status_code == 403
    assert {query.conversation.user_id for query in service.answering.queries} <= {"ada"}


@pytest.mark.parametrize(("key", "user_id"), [("ada", "ada"), ("anyone", "key:anyone"), (None, "anonymous")])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_who_asks_without_a_name_is_the_keys_user_or_the_key(
    service: Service, path: str, key: str | None, user_id: str
) -> None:
    """Two keys never share a conversation because both named nobody."""
    body = {"model": "fake", "input": "Hi", "messages": HI}
    doorkeeper = {} if key is None else {"identifying": Doorkeeper()}
    async with service.client(**doorkeeper) as client:
        response = await client.post(path, json=body, headers=bearer(key or "any"))

    assert response.status_code == 200
    assert service.answering.queries[-1].conversation.user_id == user_id


async def test_the_binding_is_checked_before_the_limits() -> None:
    """A user's allowance cannot be used up with another user's key."""
    limits = CountingLimits()
    token = CALLER.set(Caller("k", user_id="ada"))
    try:
        with pytest.raises(ForbiddenError):
            await Admission(limits=limits).admit("grace")
    finally:
        CALLER.reset(token)

    assert limits.admitted == []


@pytest.mark.parametrize("is_refused", [False, True])
async def test_what_limits_tell_is_in_the_answer_whatever_it_is(service: Service, is_refused: bool) -> None:
    """Headers of one request, and of no other."""

    class Telling:
        async def admit(self, caller: Caller, user_id: str, use: str) -> None:
            ANSWER_HEADERS.set({"RateLimit": user_id})
            if is_refused:
                raise RateLimitedError(retry_after_seconds=3)

    async with service.client(limits=Telling()) as client:
        path = "/api/v1/query/stream"
        told = await client.post(path, json={"user_id": "ada", "question": "Hi"})
        quiet = await client.get("/api/v1/live")

    assert told.status_code == (429 if is_refused else 200)
    assert told.headers["ratelimit"] == "ada"
    assert "ratelimit" not in quiet.headers


async def test_the_caller_of_a_request_is_nobody_elses(service: Service) -> None:
    """Requests at the same time, and one after another in the same task."""
    limits = CountingLimits()
    async with service.client(identifying=Doorkeeper(), limits=limits) as client:
        await asyncio.gather(
            *(
                client.get(f"/api/v1/users/{name}/history", headers=bearer(name))
                for name in ["ada", "anyone"] * 10
            )
        )

    assert sorted({(key, user) for key, user, _ in limits.admitted}) == [("ada", "ada"), ("anyone", "anyone")]
    assert CALLER.get().key_id is None
