"""What clients may send: what cannot be honoured is refused in words, all else is let pass."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agent_service.api.openai.schemas import ChatRequest, ResponseRequest

MESSAGES = [{"role": "user", "content": "Hi?"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def _chat(**more: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": MESSAGES, **more})


def _response(**more: Any) -> ResponseRequest:
    return ResponseRequest.model_validate({"model": "m", "input": "Hi?", **more})


def _problems(of: type[ChatRequest | ResponseRequest], **sent: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        (_chat if of is ChatRequest else _response)(**sent)
    return {".".join(map(str, at["loc"])): at["msg"] for at in refused.value.errors()}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("tools", [TOOL], "a program calls its own tools"),
        ("functions", [{"name": "f"}], "a program calls its own tools"),
        ("n", 2, "a program answers once"),
        ("logprobs", True, "no log probabilities"),
        ("modalities", ["text", "audio"], "a program writes"),
    ],
)
def test_what_a_program_cannot_do_is_refused_in_chat(name: str, value: object, why: str) -> None:
    """In words that say why."""
    assert why in _problems(ChatRequest, **{name: value})[name]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("tools", [TOOL], "a program calls its own tools"),
        ("top_logprobs", 3, "no log probabilities"),
        ("background", True, "not kept waiting"),
        ("conversation", "conv_1", "previous_response_id or session_id"),
        ("prompt", {"id": "pmpt_1"}, "no stored prompts"),
    ],
)
def test_what_a_program_cannot_do_is_refused_in_responses(name: str, value: object, why: str) -> None:
    """In words that say why."""
    assert why in _problems(ResponseRequest, **{name: value})[name]


def test_only_text_is_answered() -> None:
    """A schema of the client's is not the program's."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}

    assert "must be text" in _problems(ChatRequest, response_format=schema)["response_format.type"]
    assert "must be text" in _problems(ResponseRequest, text={"format": schema})["text.format.type"]
    assert _chat(response_format={"type": "text"}).response_format is not None
    assert _response(text={"format": {"type": "text"}, "verbosity": "low"}).text is not None


def test_images_are_refused_and_texts_in_parts_are_joined() -> None:
    """Each problem once: nothing is told of what else the content might have been."""
    image = [{"type": "image_url", "image_url": {"url": "data:"}, "text": ""}]
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]

    problems = _problems(ChatRequest, messages=[{"role": "user", "content": image}])

    assert problems == {
        "messages.0.content.list.0.type": "must be text: "
        "a program's question holds no images, sounds or files"
    }
    assert _chat(messages=[{"role": "user", "content": parts}]).messages[0].text == "ab"
    assert not _chat(messages=[{"role": "assistant", "content": None}]).messages[0].text


def test_sampling_and_what_is_unknown_is_let_pass() -> None:
    """Clients send such things unasked; new ones all the time."""
    _chat(temperature=0.2, top_p=1, max_tokens=10, stop=["x"], seed=1, tool_choice="auto", tomorrow=[1])
    _response(temperature=0.2, max_output_tokens=5, reasoning={"effort": "low"}, include=["x"], tomorrow=1)


def test_nothing_that_clients_send_for_left_out_is_refused() -> None:
    """Null, empty lists and defaults."""
    _chat(tools=[], functions=None, n=1, logprobs=False, modalities=["text"], stream_options=None)
    _response(tools=None, top_logprobs=0, background=False, conversation=None, prompt=None, text=None)


def test_who_asks_is_the_user_then_the_metadata_then_nobody() -> None:
    """And the session is the metadata's; other metadata is kept as it is."""
    named = _chat(user="ada", metadata={"user_id": "bob", "session_id": "trip", "team": "a"})

    assert (named.user_id, named.session_id) == ("ada", "trip")
    assert _chat(metadata={"user_id": "bob"}).user_id == "bob"
    assert (_chat().user_id, _chat().session_id) == (None, None)
    assert named.metadata is not None
    assert named.metadata.model_dump() == {"user_id": "bob", "session_id": "trip", "team": "a"}


def test_of_the_items_of_a_response_its_messages_are_said() -> None:
    """Clients send the output of the last response back, reasoning included."""
    sent = _response(
        input=[
            {"role": "user", "content": "a"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "item_reference", "id": "rs_1"},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": "b"},
            {"role": "user", "content": "c"},
        ]
    )

    assert [message.text for message in sent.messages] == ["a", "b", "c"]
    assert sent.continued is None
    assert _response(previous_response_id="resp_1").continued == "resp_1"


def test_a_reference_to_an_answer_continues_it() -> None:
    """What comes before the last one is known already, but for instructions."""
    sent = _response(
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"type": "item_reference", "id": "msg_1"},
            {"role": "user", "content": "b"},
            {"type": "item_reference", "id": "msg_2"},
            {"role": "user", "content": "c"},
        ]
    )

    assert sent.continued == "msg_2"
    assert [message.text for message in sent.messages] == ["Be brief.", "c"]


@pytest.mark.parametrize("item", [{"type": "function_call_output", "call_id": "1"}, {"type": ["x"]}, 7])
def test_other_items_are_refused(item: object) -> None:
    """Results of tools that no program called, and nonsense."""
    assert _problems(ResponseRequest, input=[item])
