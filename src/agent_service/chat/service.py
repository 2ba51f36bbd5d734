"""The service as a chat sees it: questions answered by events, the conversation, and what goes wrong."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
"""Longer than the heartbeats of a stream are apart."""

_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's name for it, in the words of all libraries around it."""


class ChatError(Exception):
    """A question has no answer. The message is for whoever asked; ``code`` is the error's stable code."""

    def __init__(self, message: str, *, code: str = "unreachable") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """One event of a stream; see docs/api.md for the kinds and their data."""

    kind: str
    data: dict[str, Any]


class ChatService:
    """One user's conversation with a service.

    Args:
        url: where the service is.
        user_id: who asks.
        session_id: which of the user's conversations.
        key: the API key, where the service wants one.
        trust: who may vouch for a service behind https.
        program: which program is asked, by name; None for the default.
        transport: replaces the network, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        user_id: str,
        session_id: str,
        key: str | None = None,
        trust: ssl.SSLContext | None = None,
        program: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.session_id = session_id
        self._user_id = user_id
        self._program = program
        self._described: dict[str, Any] | None = None
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            verify=trust or True,
            timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"<ChatService {self._client.base_url} {self._user_id}/{self.session_id}>"

    def greeting(self) -> str:
        """Which program is asked there, and on which model.

        Raises:
            ChatError: the service refuses, does not answer, or has no such program.
        """
        if self._program is None:
            info = self._json("GET", "/api/v1/info")
            return f"{info['program']} on {info['model']}"
        program = self._described_program(self._program)
        return f"{program['name']} on {program['model']}, takes {', '.join(program['inputs']['properties'])}"

    def history(self) -> list[dict[str, Any]]:
        """The newest turns of the conversation, oldest first.

        Raises:
            ChatError: the service refuses, or does not answer.
        """
        page = self._json("GET", self._path("history"), params={"session_id": self.session_id})
        turns: list[dict[str, Any]] = page["turns"]
        return turns

    def erase(self) -> int:
        """Forget the conversation; returns how many turns are gone.

        Raises:
            ChatError: the service refuses, or does not answer.
        """
        erased = self._json("DELETE", self._path("history"), params={"session_id": self.session_id})
        return int(erased["deleted_turns"])

    def ask(self, question: str) -> Iterator[ChatEvent]:
        """The events of one question, the last one its answer. Closing the iterator stops the run.

        Raises:
            ChatError: the service refuses, fails, or does not answer.
        """
        asked: dict[str, Any] = {"question": question}
        path = "/api/v1/query/stream"
        if self._program is not None:
            asked = {"inputs": inputs_of(self._described_program(self._program), question)}
            path = f"/api/v1/programs/{quote(self._program, safe='')}/query/stream"
        body = {"user_id": self._user_id, "session_id": self.session_id, **asked}
        ended = False
        with _reachable(), self._client.stream("POST", path, json=body) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response)
            for event in _events(response.iter_lines()):
                if event.kind == "error":
                    raise _problem(event.data)
                ended = event.kind == "answer"
                yield event
        if not ended:
            raise ChatError("The answer broke off.")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _described_program(self, name: str) -> dict[str, Any]:
        if self._described is None:
            self._described = self._json("GET", f"/api/v1/programs/{quote(name, safe='')}")
        return self._described

    def _path(self, what: str) -> str:
        return f"/api/v1/users/{quote(self._user_id, safe='')}/{what}"

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with _reachable():
            response = self._client.request(method, path, **options)
        if not response.is_success:
            raise _refusal(response)
        try:
            document: dict[str, Any] = response.json()
        except ValueError as error:
            raise ChatError("What answers there is no Agent Service.") from error
        return document


def inputs_of(program: dict[str, Any], line: str) -> dict[str, Any]:
    """What somebody typed, as the program's inputs: its only text, or a JSON object of all.

    Raises:
        ChatError: it is neither.
    """
    properties, needed = program["inputs"]["properties"], program["inputs"].get("required", [])
    name = "question" if "question" in properties else needed[0] if len(needed) == 1 else None
    if program["is_plain"] and name is not None:
        return {name: line}
    with suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    if name is not None and set(needed) <= {name} and properties[name].get("type") == "string":
        return {name: line}
    raise ChatError(f"Type the inputs as a JSON object: {', '.join(properties)}.", code="invalid_request")


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as error:
        if _UNTRUSTED in str(error):
            raise ChatError("The certificate of the service is not trusted; see --ca-file.") from error
        raise ChatError("The service cannot be reached.") from error
    except httpx.TimeoutException as error:
        raise ChatError("The service does not answer.") from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ChatError("The connection to the service broke off.") from error


def _events(lines: Iterator[str]) -> Iterator[ChatEvent]:
    """Server-sent events (WHATWG HTML, section 9.2.6), as far as this service sends them."""
    kind, data = "message", ""
    for line in lines:
        if not line:
            if data:
                yield ChatEvent(kind, json.loads(data))
            kind, data = "message", ""
        elif line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].removeprefix(" ")


def _refusal(response: httpx.Response) -> ChatError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return ChatError(f"The service answered {response.status_code}.")
    return _problem(problem, retry_after=response.headers.get("Retry-After"))


def _problem(problem: dict[str, Any], retry_after: str | None = None) -> ChatError:
    detail = problem.get("detail") or problem.get("title") or "The service gave no reason."
    fields = [f"{at['field']} {at['problem']}." for at in problem.get("errors", [])]
    wait = [f"Ask again in {retry_after} s."] if retry_after else []
    return ChatError(" ".join([detail, *fields, *wait]), code=problem.get("error", "internal_error"))
