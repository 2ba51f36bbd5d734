"""Rules of answers as text."""

from __future__ import annotations

import pytest

from agent_service.runtime.answer_text import as_text


def test_an_object_without_a_form_is_no_answer() -> None:
    """A caller is told of a bug, not of an address in memory."""
    with pytest.raises(TypeError, match="no form as text"):
        as_text(object())
