from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from agent_service.telemetry.redaction import described, fixed_part, redacted, speaks_with_model

if TYPE_CHECKING:
    import io
    from collections.abc import Callable


class ModelText(Exception):  # noqa: N818 - stands for any exception of a library
    """An exception as a model library raises it: its message holds what was said."""


ModelText.__module__ = "dspy.clients.lm"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-abcdef123456 refused", "key *** refused"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***"),
        ("redis://user:pass@host:6379/0", "redis://***@host:6379/0"),
        ("ask-me-anything", "ask-me-anything"),
        ("https://host/path?user@x", "https://host/path?user@x"),
    ],
)
def test_texts_lose_what_looks_like_a_secret(text: str, shown: str) -> None:
    """Keys, bearer tokens and passwords in URLs are masked wherever they stand; other text stays."""
    assert redacted(text) == shown


def test_values_of_secret_names_are_masked_at_any_depth() -> None:
    """A name that says secret hides its value; a count of tokens is none."""
    line = {"x": [{"api_key": "a", "Authorization": "b", "prompt_tokens": 3}], "db_password": "c", "n": None}
    masked = {"x": [{"api_key": "***", "Authorization": "***", "prompt_tokens": 3}], "db_password": "***"}
    assert redacted(line) == masked | {"n": None}


def test_exceptions_are_told_with_their_causes_and_without_local_variables() -> None:
    """Type, message and frames of each link of the chain, the outermost first."""

    def fail() -> None:
        local = "value of a local variable"
        raise KeyError(len(local))

    try:
        try:
            fail()
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as error:
        outer, inner = described(error)
    assert (outer["type"], outer["message"]) == ("builtins.ValueError", "outer")
    assert inner["type"] == "builtins.KeyError"
    assert inner["frames"][-1].endswith("in fail")
    assert "value of" not in str([outer, inner])


def test_a_suppressed_context_is_not_told() -> None:
    """``raise ... from None`` means it."""
    error = ValueError("outer")
    error.__context__ = KeyError("inner")
    error.__suppress_context__ = True
    assert [link["message"] for link in described(error)] == ["outer"]


def test_exceptions_of_model_libraries_are_told_without_their_message() -> None:
    """Their messages quote prompts and answers."""
    assert described(ModelText("the prompt"))[0]["message"] == "(withheld)"


def test_the_message_is_told_when_somebody_asks_for_it(log_to: Callable[..., io.StringIO]) -> None:
    """``LOG_LEVEL=info,dspy=debug`` opens it."""
    log_to(levels={"": "info", "dspy": "debug"})
    assert described(ModelText("the prompt"))[0]["message"] == "the prompt"


@pytest.mark.parametrize("name", ["dspy", "dspy.predict.react", "LiteLLM", "openai._base_client"])
def test_loggers_of_model_libraries_are_known_with_their_children(name: str) -> None:
    """Their lines can hold what was said; ours cannot."""
    assert speaks_with_model(name)
    assert not speaks_with_model(f"agent_service.{name}")


@pytest.mark.parametrize(
    ("message", "has_arguments", "kept"),
    [
        ("Type mismatch for field %s", True, "Type mismatch for field %s (withheld, react:7)"),
        ("Ending the trajectory: the answer", False, "Ending the trajectory (withheld, react:7)"),
        ("Error for the question", False, "message (withheld, react:7)"),
    ],
)
def test_only_what_the_author_wrote_is_kept_of_a_message(
    message: str, has_arguments: bool, kept: str
) -> None:
    """A template is safe; a finished text may hold anything after a beginning that is known."""
    record = logging.LogRecord("dspy", logging.WARNING, "dspy/react.py", 7, message, (), None)
    assert fixed_part(record, has_arguments=has_arguments) == kept
