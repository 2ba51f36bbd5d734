"""Keys and tokens at one door."""

from __future__ import annotations

from agent_service.access.identities import Identities
from agent_service.core.caller import Caller


class _Knows:
    def __init__(self, name: str) -> None:
        self._name = name

    async def identify(self, credential: str) -> Caller:
        return Caller(f"{self._name} {credential}")


async def test_what_begins_like_a_key_is_looked_up_as_one_and_all_else_as_a_token() -> None:
    """So no credential is ever tried both ways."""
    both = Identities(keys=_Knows("key"), tokens=_Knows("token"))

    assert (await both.identify("ask_1_2")).key_id == "key ask_1_2"
    assert (await both.identify("a.b.c")).key_id == "token a.b.c"
