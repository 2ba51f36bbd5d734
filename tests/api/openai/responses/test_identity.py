from __future__ import annotations

import base64

import pytest

from agent_service.api.openai.responses.identity import ResponseIdentity, kept_response

TURN = "6f1c1c5e0f434b439d0a3d0f5c1e2b7a"


@pytest.mark.parametrize("session_id", ["s", "a b/é?", "\N{GRINNING FACE}" * 128, "default"])
def test_an_id_says_where_the_response_is_kept(session_id: str) -> None:
    """By the response's id and by its answer's, for any session that there can be."""
    identity = ResponseIdentity(session_id, TURN)

    assert kept_response(identity.response) == identity
    assert kept_response(identity.message) == identity
    assert len(identity.response) <= 1000


def test_a_response_that_is_not_kept_says_nothing() -> None:
    """Its id leads nowhere."""
    assert ResponseIdentity(None, TURN).response == f"resp_{TURN}"
    assert kept_response(f"resp_{TURN}") is None


def test_each_response_has_ids_of_its_own() -> None:
    """Unlike any other's, within it too."""
    one, two = ResponseIdentity("s"), ResponseIdentity("s")

    ids = [one.response, one.message, one.step(0), one.step(1), two.response, two.message, two.step(0)]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "resp_",
        f"resp_{TURN[:-1]}_cw",
        f"rs_{TURN}_0",
        f"resp_{TURN}_c",
        f"resp_{TURN}_cw\n",
        f"resp_{TURN}_" + "c" * 800,
        f"resp_{TURN}_" + base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("="),
        f"resp_{TURN}_" + base64.urlsafe_b64encode("\ud800".encode("utf-8", "surrogatepass")).decode(),
    ],
)
def test_what_is_no_id_is_none(identity: str) -> None:
    """Whatever a client makes up."""
    assert kept_response(identity) is None
