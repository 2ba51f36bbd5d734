"""The stub of a language model: which step a prompt is, and its reading of HTTP."""

from __future__ import annotations

import pytest

from bench.goals.stage.lm_stub import request_in, step_of

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


@pytest.mark.parametrize(
    ("prompt", "step"),
    [
        (b"[[ ## next_tool_name ## ]] ... [[ ## trajectory ## ]]", "tool"),
        (b"[[ ## next_tool_name ## ]] ... [[ ## trajectory ## ]] [[ ## observation_0 ## ]]", "finish"),
        (b"[[ ## reasoning ## ]] [[ ## tool_name_0 ## ]] [[ ## observation_0 ## ]]", "extract"),
    ],
)
def test_the_prompt_tells_the_step(prompt: bytes, step: str) -> None:
    """So that every query makes the same three calls, whoever sends it."""
    assert step_of(prompt) == step


def test_requests_are_taken_one_after_the_other_however_they_come() -> None:
    """Clients send head and body apart, or several requests at once."""
    buffer = bytearray(POST[:-2])
    assert request_in(buffer) is None
    buffer += POST[-2:] + b"GET / HTTP/1.1\r\n\r\n"
    assert request_in(buffer) == (POST.partition(b"\r\n\r\n")[0], b"body")
    assert request_in(buffer) == (b"GET / HTTP/1.1", b"")
    assert buffer == b""


def test_a_body_of_unknown_length_is_an_error() -> None:
    """It would be taken for the next request."""
    with pytest.raises(ValueError, match="Content-Length"):
        request_in(bytearray(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
