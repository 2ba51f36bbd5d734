"""Bearers are known by the whole key, for as long as it is valid."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from agent_service.access.key import digest_of, new_secret
from agent_service.access.keyring import Keyring
from agent_service.core.errors import UnauthorizedError
from agent_service.testing import FakeClock
from tests.access.test_key import a_key


async def test_the_bearer_of_a_key_is_known() -> None:
    """By the key itself, and what goes with it."""
    keyring, (key_id, secret) = Keyring(clock=FakeClock()), new_secret()
    keyring.replace([a_key(id=key_id, sha256=digest_of(secret).hex(), user_id="ada")])

    caller = await keyring.identify(secret)

    assert (caller.key_id, caller.user_id) == (key_id, "ada")


async def test_another_secret_under_a_known_id_is_nobody() -> None:
    """The id is public and opens nothing."""
    keyring, (key_id, secret) = Keyring(clock=FakeClock()), new_secret()
    keyring.replace([a_key(id=key_id, sha256=digest_of(secret).hex())])
    guess = secret[:-1] + ("0" if secret[-1] != "0" else "1")

    for presented in (guess, key_id, "", "ask_", new_secret()[1], "schl\u00fcssel"):
        with pytest.raises(UnauthorizedError, match="not known") as caught:
            await keyring.identify(presented)
        assert caught.value.presented


async def test_a_key_that_is_gone_is_unknown_at_once() -> None:
    """Revoked is revoked: nothing of an earlier set is remembered."""
    keyring, (key_id, secret) = Keyring(clock=FakeClock()), new_secret()
    keyring.replace([a_key(id=key_id, sha256=digest_of(secret).hex())])
    await keyring.identify(secret)
    keyring.replace([])

    with pytest.raises(UnauthorizedError, match="not known"):
        await keyring.identify(secret)


async def test_a_key_expires_while_the_service_runs() -> None:
    """Its bearer is told so, because only the bearer can hear it."""
    clock, (key_id, secret) = FakeClock(), new_secret()
    ends = datetime.fromtimestamp(clock.wall(), tz=timezone.utc) + timedelta(seconds=60)
    keyring = Keyring(clock=clock)
    keyring.replace([a_key(id=key_id, sha256=digest_of(secret).hex(), expires_at=ends)])

    clock.advance(59)
    await keyring.identify(secret)
    clock.advance(1)

    with pytest.raises(UnauthorizedError, match="has expired"):
        await keyring.identify(secret)
