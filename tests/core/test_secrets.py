from __future__ import annotations

from typing import Any

import pytest

from agent_service.core.secrets import redacted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Bearer abcdefgh", "Bearer ***"),
        ("the key sk-abcdefgh is", "the key *** is"),
        ("ask_0123456789ab_0f0f0f0f failed", "ask_0123456789ab_*** failed"),
        ("the token eyJhbGci.eyJzdWIi.c2ln was sent", "the token *** was sent"),
        ("redis://ada:secret@host", "redis://***@host"),
        (
            {"api_key": "x", "Password": 1, "name": "A"},
            {"api_key": "***", "Password": "***", "name": "A"},
        ),
        ([{"token": "x"}, ("sk-abcdefgh",)], [{"token": "***"}, ["***"]]),
        (4, 4),
    ],
)
def test_secrets_are_masked_by_name_and_by_look(value: Any, shown: Any) -> None:
    """Wherever they stand, and nothing else is touched."""
    assert redacted(value) == shown
