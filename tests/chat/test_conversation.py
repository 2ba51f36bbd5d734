"""Questions, commands and Ctrl-C of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from agent_service.chat import conversation
from agent_service.chat.conversation import Conversation, typed_lines
from agent_service.chat.service import ChatError, ChatService

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERED = (
    'event: answer\ndata: {"answer":"4","latency_ms":1,"reasoning_steps":0,"usage":{"total_tokens":1},'
    '"model":"m","stored":true,"degraded":[]}\n\n'
)


class Server:
    """Stands for the service; notes what was asked of it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.status = 200
        self.sessions: list[str] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if request.url.path.endswith("/stream"):
            problem = {"detail": "All agents are busy.", "error": "pool_exhausted"}
            ok = self.status == 200
            return httpx.Response(200, text=ANSWERED) if ok else httpx.Response(self.status, json=problem)
        self.sessions.append(request.url.params["session_id"])
        turns: list[dict[str, Any]] = [{"question": "What is 2+2?", "answer": "4"}]
        return httpx.Response(200, json={"turns": turns, "deleted_turns": 1})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def talk(server: Server) -> Conversation:
    transport = httpx.MockTransport(server.handle)
    service = ChatService("http://service", user_id="ada", session_id="default", transport=transport)
    return Conversation(service, watched=False)


def test_lines_are_questions_until_the_person_leaves(
    talk: Conversation, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blank lines ask nothing, and what comes after /quit is not asked."""
    assert talk.hold(["What is 2+2?\n", "  \n", "/quit\n", "never\n"])

    assert server.requests == ["POST /api/v1/query/stream"]
    assert capsys.readouterr().out == "4\n"


def test_a_question_that_fails_does_not_end_the_conversation(
    talk: Conversation, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason goes to standard error, the next is asked, and the end says that not all went well."""
    server.status = 503

    assert not talk.hold(["one", "two"])

    assert len(server.requests) == 2
    assert capsys.readouterr().err.count("All agents are busy.") == 2


def test_a_single_question_that_fails_is_raised(talk: Conversation, server: Server) -> None:
    """Who asks one question wants its failure as an exit status."""
    server.status = 503

    with pytest.raises(ChatError):
        talk.ask("one")


def test_commands_show_begin_and_erase_conversations(
    talk: Conversation, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is erased after /new is the new conversation, not the one before."""
    assert talk.hold(["/history", "/new", "/erase", "/help", "/nonsense"])

    shown = capsys.readouterr().out
    assert "What is 2+2?\n4" in shown
    assert "1 turn forgotten" in shown
    assert "No such command." in shown
    first, second = server.sessions
    assert first == "default"
    assert second.startswith("chat-")


def _typing(*keys: str | type[BaseException]) -> Callable[[str], str]:
    waiting = list(keys)

    def read(_: str) -> str:
        key = waiting.pop(0)
        if isinstance(key, str):
            return key
        raise key

    return read


def test_ctrl_c_drops_the_line_and_twice_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip does not end the conversation; insisting does."""
    keys = ("one", KeyboardInterrupt, "two", KeyboardInterrupt, KeyboardInterrupt, "never")
    monkeypatch.setattr("builtins.input", _typing(*keys))

    assert list(typed_lines()) == ["one", "two"]


def test_the_end_of_the_input_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D leaves."""
    monkeypatch.setattr("builtins.input", _typing("one", EOFError))

    assert list(conversation.typed_lines()) == ["one"]
