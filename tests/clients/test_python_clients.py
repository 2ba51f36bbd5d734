"""Python clients that nobody here wrote, against a running service."""

from __future__ import annotations

import gc
import warnings
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.python_clients import CLIENTS, Client, LangChainResponses, OpenAIChat, OpenAIResponses

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.clients.conftest import Backend

pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore"),  # what other people's packages warn of is theirs
]
SUM = "What is 17 * 23?"
RECALL = "What did I ask before?"


@pytest.fixture(params=CLIENTS, ids=lambda made: made.__name__)
def client(request: pytest.FixtureRequest, backend: Backend) -> Client:
    """Each of them."""
    made: Client = request.param(backend.base_url)
    return made


@pytest.fixture(autouse=True)
def _connections_left_open() -> Iterator[None]:
    """Collected here, where nobody minds, and not in a test of something else."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def test_a_question_is_answered_with_its_tokens(client: Client) -> None:
    """Plain."""
    said = client.ask(SUM)

    assert "391" in said.text
    assert said.total_tokens > 0


def test_the_answer_is_read_while_it_is_written(client: Client, backend: Backend) -> None:
    """Streamed: in several pieces, and the tokens at the end."""
    with backend.writing_slowly(400):
        *pieces, tokens = client.stream("Hello there!")

    assert len(pieces) > 3
    assert "".join(map(str, pieces)).strip()
    assert isinstance(tokens, int)
    assert tokens > 0


def test_what_was_said_before_is_known(client: Client) -> None:
    """The client's messages are the conversation."""
    assert SUM in client.ask(SUM, "391", RECALL).text
    assert SUM not in client.ask(RECALL).text


def test_a_model_that_is_not_there_is_said_to_be_missing(client: Client) -> None:
    """By the client's own class of errors."""
    with pytest.raises(client.missing, match="No such model"):
        client.ask(SUM, model="gpt-none")


def test_a_service_that_cannot_answer_is_said_to_be_unavailable(client: Client, backend: Backend) -> None:
    """While the breaker is open; by the client's own class of errors."""
    with backend.breaker_open(), pytest.raises(client.unavailable, match="given a rest"):
        client.ask(SUM)


def test_hanging_up_in_mid_answer_stops_the_run(client: Client, backend: Backend) -> None:
    """The slot is free soon after."""
    with backend.writing_slowly(30), backend.stopping_a_run():
        pieces: Generator[str | int] = client.stream("Hello there!")  # type: ignore[assignment] # they are
        assert next(pieces)
        pieces.close()


def test_the_models_are_listed(backend: Backend) -> None:
    """By the official SDK, page and item."""
    sdk = OpenAIChat(backend.base_url).sdk

    assert [model.id for model in sdk.models.list()] == ["default"]
    assert sdk.models.retrieve("default").owned_by == "agent-service"


def test_a_response_is_continued_by_its_id_in_any_order(backend: Backend) -> None:
    """Also an earlier one; another user's is missing."""
    sdk = OpenAIResponses(backend.base_url).sdk
    first = sdk.responses.create(model="default", input=SUM, user="ada")
    second = sdk.responses.create(
        model="default", input="What is 1 + 1?", user="ada", previous_response_id=first.id
    )

    again = sdk.responses.create(model="default", input=RECALL, user="ada", previous_response_id=first.id)
    later = sdk.responses.create(model="default", input=RECALL, user="ada", previous_response_id=second.id)

    assert SUM in again.output_text
    assert "1 + 1" not in again.output_text
    assert "1 + 1" in later.output_text
    with pytest.raises(openai.NotFoundError, match="not kept any more"):
        sdk.responses.create(model="default", input=RECALL, user="bob", previous_response_id=first.id)


def test_the_output_of_a_response_can_be_sent_back(backend: Backend) -> None:
    """With its reasoning items, as OpenAI's guides do it."""
    sdk = OpenAIResponses(backend.base_url).sdk
    first = sdk.responses.create(model="default", input=SUM)
    said: list[Any] = [{"role": "user", "content": SUM}, *first.output, {"role": "user", "content": RECALL}]

    assert [item.type for item in first.output] == ["reasoning", "message"]
    assert SUM in sdk.responses.create(model="default", input=said).output_text


def test_a_stored_conversation_is_shared_with_the_other_endpoints(backend: Backend) -> None:
    """By user and session."""
    sdk = OpenAIChat(backend.base_url).sdk
    sdk.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": SUM}],
        user="eve",
        metadata={"session_id": "trip"},
    )

    history = backend.service.client.get("/api/v1/users/eve/history?session_id=trip").json()

    assert [turn["question"] for turn in history["turns"]] == [SUM]


def test_langchain_continues_by_itself(backend: Backend) -> None:
    """It finds the id of the last response in the messages that it is given."""
    model = LangChainResponses(backend.base_url).model(use_previous_response_id=True)
    first = model.invoke(SUM)

    second = model.invoke([{"role": "user", "content": SUM}, first, {"role": "user", "content": RECALL}])

    assert SUM in second.text
    assert second.response_metadata["id"] != first.response_metadata["id"]
