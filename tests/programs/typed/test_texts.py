"""DSPy's own types as texts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agent_service.programs.typed.texts import annotated, as_texts, is_public

PNG = "data:image/png;base64,iVBORw0KGgo="


def read(annotation: Any, value: Any) -> Any:
    """``value`` as the annotation reads it."""
    return TypeAdapter(as_texts(annotation)).validate_python(value)


@pytest.mark.parametrize("url", [PNG, "https://example.org/a.png", "http://8.8.8.8/x?y=z"])
def test_an_image_is_a_url_or_a_data_uri(url: str) -> None:
    """Made of the text alone: nothing is loaded."""
    assert read(dspy.Image, url).url == url


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "gs://bucket/x.png",
        "photo.png",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,not base64",
        "http://localhost/x",
        "http://service.internal/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "http://10.0.0.1:8080/x",
        "http://2130706433/x",
        "http://127.1/x",
        "http://0x7f.1/x",
        "http://redis/x",
        "http://me@example.org/x",
        "http://example.org\\@127.0.0.1/",
        "https://",
        "",
        {"url": PNG},
        {"url": "http://169.254.169.254/", "download": True},
        b"\x89PNG",
        3,
        None,
    ],
)
def test_what_leads_anywhere_else_is_refused(text: Any) -> None:
    """No file of ours, no host of our network, nothing that DSPy would load."""
    with pytest.raises(ValidationError):
        read(dspy.Image, text)


def test_sounds_files_and_code() -> None:
    """Data URIs and plain text."""
    sound = read(dspy.Audio, "data:audio/x-wav;base64,AAAA")
    assert (sound.data, sound.audio_format) == ("AAAA", "wav")
    assert read(dspy.File, "data:text/plain;base64,aGk=").file_data == "data:text/plain;base64,aGk="
    assert read(dspy.Code["java"], "int x;").code == "int x;"
    assert read(dspy.Reasoning, "because").content == "because"
    for kind in (dspy.Audio, dspy.File):
        with pytest.raises(ValidationError):
            read(kind, "/etc/passwd")


def test_wherever_they_stand() -> None:
    """In lists, dictionaries, unions and annotated types; what is around stays."""
    assert read(list[dspy.Image], [PNG])[0].url == PNG
    assert read(dict[str, dspy.Image | None], {"a": PNG, "b": None})["a"].url == PNG
    assert read(Optional[dspy.Image], None) is None  # noqa: UP045 - both spellings are met
    assert read(tuple[dspy.Image, ...], [PNG])[0].url == PNG
    assert read(Annotated[dspy.Image, "kept"], PNG).url == PNG
    with pytest.raises(ValidationError):
        read(list[dspy.Image], ["/etc/passwd"])


@pytest.mark.parametrize("annotation", [str, list[int], Literal["a", "b"], dict[str, Any], Any, int | None])
def test_what_holds_none_of_them_stays(annotation: Any) -> None:
    """The very same."""
    assert as_texts(annotation) is annotation


def test_the_schema_says_what_is_allowed() -> None:
    """A text with a pattern."""
    schema = TypeAdapter(as_texts(dspy.Image)).json_schema()
    assert (schema["type"], "data:image" in schema["pattern"]) == ("string", True)


def test_annotated_takes_any_number() -> None:
    """None, one or several."""
    assert annotated(int, []) is int
    assert annotated(int, ["a", "b"]) == Annotated[int, "a", "b"]


@given(st.text())
def test_any_text_is_public_or_not(text: str) -> None:
    """No text ends in an error."""
    assert is_public(text) in {True, False}
    assert is_public(f"http://{text}") in {True, False}
