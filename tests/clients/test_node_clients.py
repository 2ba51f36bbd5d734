"""Node.js clients that nobody here wrote, against a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.node_clients import CLIENTS, ask, installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.clients.conftest import Backend

    Ask = Callable[..., dict[str, Any]]

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]  # the first test may install Node.js
SUM = "What is 17 * 23?"
RECALL = "What did I ask before?"
of_every_client = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the script and its packages are."""
    return installed()


@of_every_client
def test_a_question_is_answered_with_its_tokens(folder: Path, backend: Backend, client: str) -> None:
    """Plain."""
    said = ask(folder, backend.base_url, client, "plain", SUM)

    assert "391" in said["text"]
    assert said["tokens"] > 0


@of_every_client
def test_the_answer_is_read_while_it_is_written(folder: Path, backend: Backend, client: str) -> None:
    """Streamed: in several pieces, and the tokens at the end."""
    with backend.writing_slowly(400):
        said = ask(folder, backend.base_url, client, "stream", "Hello there!")

    assert len(said["pieces"]) > 2
    assert "".join(said["pieces"]).strip()
    assert said["tokens"] > 0


@of_every_client
def test_what_was_said_before_is_known(folder: Path, backend: Backend, client: str) -> None:
    """The client's messages are the conversation."""
    assert SUM in ask(folder, backend.base_url, client, "plain", SUM, "391", RECALL)["text"]
    assert SUM not in ask(folder, backend.base_url, client, "plain", RECALL)["text"]


@pytest.mark.parametrize("client", [client for client in CLIENTS if client.startswith("ai-")])
def test_a_conversation_goes_on_as_the_client_keeps_it(folder: Path, backend: Backend, client: str) -> None:
    """With the messages of the last answer, which may be references to what is stored."""
    assert SUM in ask(folder, backend.base_url, client, "go-on", SUM, "", RECALL)["text"]


@of_every_client
def test_a_model_that_is_not_there_is_said_to_be_missing(folder: Path, backend: Backend, client: str) -> None:
    """By status, and by the class of the official SDK's error."""
    failed = ask(folder, backend.base_url, client, "missing", SUM)

    assert failed["status"] == 404
    assert "No such model" in failed["message"]
    assert failed["error"] == ("NotFoundError" if client.startswith("openai") else "APICallError")


@of_every_client
def test_a_service_that_cannot_answer_is_said_to_be_unavailable(
    folder: Path, backend: Backend, client: str
) -> None:
    """While the breaker is open."""
    with backend.breaker_open():
        failed = ask(folder, backend.base_url, client, "plain", SUM)

    assert failed["status"] == 503
    assert "given a rest" in failed["message"]
    assert failed["error"] == ("InternalServerError" if client.startswith("openai") else "APICallError")


@of_every_client
def test_hanging_up_in_mid_answer_stops_the_run(folder: Path, backend: Backend, client: str) -> None:
    """The slot is free soon after."""
    with backend.writing_slowly(30), backend.stopping_a_run():
        said = ask(folder, backend.base_url, client, "leave", "Hello there!")

    assert said["pieces"]
