"""One API key: random, recognisable, and never kept itself."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from agent_service.access.key import Key, digest_of, id_in, new_secret
from agent_service.core.caller import Caller

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def a_key(**more: Any) -> Key:
    """A key of which only its hash is known."""
    facts = {
        "id": "0123456789ab",
        "name": "Ada's laptop",
        "sha256": "0" * 64,
        "scopes": frozenset({"query"}),
        "created_at": NOW,
    }
    return Key.model_validate(facts | more)


def test_a_key_holds_its_id_and_256_random_bits() -> None:
    """The id is public; the rest cannot be guessed, and no two keys have it in common."""
    key_id, secret = new_secret()
    others = {new_secret()[1] for _ in range(100)}

    assert secret.startswith(f"ask_{key_id}_")
    assert len(bytes.fromhex(secret.rpartition("_")[2])) == 32
    assert len({other.rpartition("_")[2] for other in others}) == 100


def test_the_id_is_found_in_what_has_the_form_of_a_key() -> None:
    """Anything else has none, whatever it is."""
    key_id, secret = new_secret()

    assert id_in(secret) == key_id
    assert [id_in(other) for other in ("", "any", secret[:-1], f"{secret}\n", secret.upper())] == [""] * 5


def test_the_digest_is_that_of_the_whole_key() -> None:
    """A secret under another id is another key."""
    assert digest_of("ask_a_b") != digest_of("ask_c_b")
    assert len(digest_of("")) == 32


def test_the_bearer_may_do_what_the_key_says() -> None:
    """All that is bound to a key goes with its bearer."""
    key = a_key(user_id="ada", rate_limit="60/minute", tokens_per_day=1000)

    assert key.caller() == Caller("0123456789ab", frozenset({"query"}), "ada", "60/minute", 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"name": ""},
        {"name": "a\nb"},
        {"sha256": "0"},
        {"scopes": frozenset()},
        {"scopes": frozenset({"all"})},
        {"user_id": "  "},
        {"rate_limit": "fast"},
        {"tokens_per_day": 0},
        {"created_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - that there is no zone is what is wrong
        {"secret": "x"},
    ],
)
def test_what_no_key_can_have_is_refused(wrong: dict[str, Any]) -> None:
    """A typing error in the file must not become a key that may do more."""
    with pytest.raises(ValidationError):
        a_key(**wrong)
