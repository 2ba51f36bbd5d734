"""Both ways in one: a credential is a key of ours or a token of the identity provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.access.key import PREFIX

if TYPE_CHECKING:
    from agent_service.access.base import Identifying
    from agent_service.core.caller import Caller


class Identities:
    """Knows bearers of keys and of tokens; see ``Identifying``.

    Args:
        keys: knows the bearers of what begins like a key of ours.
        tokens: knows the others.
    """

    def __init__(self, *, keys: Identifying, tokens: Identifying) -> None:
        self._keys = keys
        self._tokens = tokens

    def __repr__(self) -> str:
        return f"<Identities {self._keys!r}, {self._tokens!r}>"

    async def identify(self, credential: str) -> Caller:
        """See ``Identifying``."""
        known_by = self._keys if credential.startswith(PREFIX) else self._tokens
        return await known_by.identify(credential)
