"""What a chat gets from the service, over a transport that stands for the network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from agent_service.chat.service import ChatError, ChatEvent, ChatService, inputs_of

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERED = (
    ": still here\n\n"
    'id: 1\nevent: run.started\ndata: {"program":"default"}\n\n'
    'id: 2\nevent: answer.delta\ndata: {"text":"4"}\n\n'
    'id: 3\nevent: answer\ndata: {"answer":"4"}\n\n'
)


def _service(
    handle: Callable[[httpx.Request], httpx.Response], key: str | None = None, program: str | None = None
) -> ChatService:
    transport = httpx.MockTransport(handle)
    return ChatService(
        "http://service", user_id="a/b", session_id="s 1", key=key, program=program, transport=transport
    )


def _answers(status: int, body: str, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, text=body, headers=headers)


def test_a_question_is_answered_by_events() -> None:
    """Events come in order with their data, heartbeats are none; the question tells who asks and where."""
    sent: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        assert request.headers["authorization"] == "Bearer sk-1"
        return httpx.Response(200, text=ANSWERED)

    events = list(_service(handle, key="sk-1").ask("What is 2+2?"))

    assert sent == [{"user_id": "a/b", "session_id": "s 1", "question": "What is 2+2?"}]
    assert [event.kind for event in events] == ["run.started", "answer.delta", "answer"]
    assert events[1] == ChatEvent("answer.delta", {"text": "4"})


def test_without_a_key_none_is_sent() -> None:
    """A header that nobody set would be refused by a service with keys."""

    def handle(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        return httpx.Response(200, text=ANSWERED)

    assert list(_service(handle).ask("?"))


def test_a_stream_without_an_end_is_no_answer() -> None:
    """What breaks off is told, not taken for the whole."""
    cut = ANSWERED.partition("id: 3")[0]

    with pytest.raises(ChatError, match="broke off"):
        list(_service(_answers(200, cut)).ask("?"))


def test_an_error_event_ends_with_its_words() -> None:
    """What went wrong after the first event is the problem of the last one."""
    failed = 'event: error\ndata: {"detail":"The model failed.","error":"upstream_error"}\n\n'

    with pytest.raises(ChatError, match=r"The model failed\.") as caught:
        list(_service(_answers(200, failed)).ask("?"))

    assert caught.value.code == "upstream_error"


def test_a_refusal_is_told_in_the_services_words_with_the_time_to_wait() -> None:
    """Fields and Retry-After are for the person who asked."""
    problem = {
        "detail": "Not valid: question.",
        "error": "invalid_request",
        "errors": [{"field": "question", "problem": "is blank"}],
    }
    refusing = _service(_answers(422, json.dumps(problem), **{"Retry-After": "3"}))

    with pytest.raises(ChatError) as caught:
        list(refusing.ask(" "))

    assert str(caught.value) == "Not valid: question. question is blank. Ask again in 3 s."


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (httpx.ConnectError("no"), "cannot be reached"),
        (httpx.ReadTimeout("no"), "does not answer"),
        (httpx.ReadError("no"), "broke off"),
    ],
)
def test_a_service_that_is_not_there_is_told_plainly(failure: httpx.TransportError, said: str) -> None:
    """No traceback, no library's words."""

    def handle(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(ChatError, match=said):
        _service(handle).greeting()


@pytest.mark.parametrize(("status", "body"), [(200, "<html>"), (502, "<html>"), (502, "[1]")])
def test_what_is_no_agent_service_is_told(status: int, body: str) -> None:
    """A proxy's page or somebody else's server is an error, too."""
    with pytest.raises(ChatError, match=r"no Agent Service|answered 502"):
        _service(_answers(status, body)).history()


def test_history_and_erasure_name_user_and_session() -> None:
    """A user's name with a slash stays one part of the path."""
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(200, json={"turns": [{"question": "q", "answer": "a"}], "deleted_turns": 2})

    service = _service(handle)

    assert service.history() == [{"question": "q", "answer": "a"}]
    assert service.erase() == 2
    assert asked == [
        "GET /api/v1/users/a%2Fb/history?session_id=s+1",
        "DELETE /api/v1/users/a%2Fb/history?session_id=s+1",
    ]


def _described(*, is_plain: bool = False, required: tuple[str, ...] = (), **types: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in types.items()}
    inputs = {"properties": properties, "required": list(required)}
    return {"name": "tri age", "model": "m", "is_plain": is_plain, "inputs": inputs}


def test_a_program_is_asked_by_its_name() -> None:
    """What it takes is looked up once; the greeting says it."""
    sent: list[tuple[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.raw_path.decode(), json.loads(request.content or b"null")))
        if request.method == "GET":
            return httpx.Response(200, json=_described(required=("a", "b"), a="string", b="integer"))
        return httpx.Response(200, text=ANSWERED)

    service = _service(handle, program="tri age")
    assert service.greeting() == "tri age on m, takes a, b"
    list(service.ask('{"a": "x", "b": 1}'))

    path = "/api/v1/programs/tri%20age"
    asked = {"user_id": "a/b", "session_id": "s 1", "inputs": {"a": "x", "b": 1}}
    assert sent == [(path, None), (f"{path}/query/stream", asked)]


@pytest.mark.parametrize(
    ("program", "line", "inputs"),
    [
        (_described(is_plain=True, required=("text",), text="string"), '{"a": 1}', {"text": '{"a": 1}'}),
        (_described(is_plain=True, question="string", text="string"), "Hi?", {"question": "Hi?"}),
        (_described(required=("text",), text="string"), "Hi?", {"text": "Hi?"}),
        (_described(required=("text",), text="string"), '{"text": "x"}', {"text": "x"}),
        (
            _described(required=("a", "b"), a="string", b="string"),
            '{"a": "1", "b": "2"}',
            {"a": "1", "b": "2"},
        ),
    ],
)
def test_what_is_typed_becomes_the_inputs(program: dict[str, Any], line: str, inputs: Any) -> None:
    """The question or the only text that is needed; a JSON object where there is more to say."""
    assert inputs_of(program, line) == inputs


@pytest.mark.parametrize("line", ["Hi?", "[1]", "{"])
def test_what_cannot_be_the_inputs_is_told(line: str) -> None:
    """With their names."""
    with pytest.raises(ChatError, match="JSON object: a, b"):
        inputs_of(_described(required=("a", "b"), a="string", b="string"), line)
