"""The public keys of an identity provider: a JSON Web Key Set (RFC 7517) as far as it can sign tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt

from agent_service.access.watched_file import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EC_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class SigningKeys:
    """Keys by name and algorithm. Each is for the algorithms that its own type, curve and ``alg`` allow.

    Args:
        keys: name (None when it has none), algorithm, and the key.
    """

    def __init__(self, keys: Iterable[tuple[str | None, str, jwt.PyJWK]] = ()) -> None:
        self._by_name: dict[tuple[str | None, str], jwt.PyJWK] = {}
        self._by_algorithm: dict[str, list[jwt.PyJWK]] = {}
        for name, algorithm, key in keys:
            self._by_name.setdefault((name, algorithm), key)
            self._by_algorithm.setdefault(algorithm, []).append(key)

    def __repr__(self) -> str:
        return f"<SigningKeys {len(self._by_name)}>"

    def find(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of this name for ``algorithm``; without a name the only one that there is for it."""
        if name is not None:
            return self._by_name.get((name, algorithm))
        fitting = self._by_algorithm.get(algorithm, [])
        return fitting[0] if len(fitting) == 1 else None

    @classmethod
    def parse(cls, content: bytes, algorithms: Iterable[str]) -> SigningKeys:
        """The keys of a key set that can be used with one of ``algorithms``; others are passed over.

        Raises:
            UnreadableError: it is no key set, or has no such key.
        """
        try:
            members = json.loads(content)["keys"]
            found = [entry for member in members for entry in _usable(member, tuple(algorithms))]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UnreadableError("is no JSON Web Key Set") from None
        if not found:
            raise UnreadableError(f"has no public key for {', '.join(algorithms)}")
        return cls(found)


class FileKeys:
    """The signing keys of a file as of now; see ``SigningKeySource``."""

    def __init__(self) -> None:
        self.generation = 0
        self._keys = SigningKeys()

    def __repr__(self) -> str:
        return f"<FileKeys {self._keys!r}>"

    def replace(self, keys: SigningKeys) -> None:
        """Know ``keys``, and no others any more."""
        self._keys = keys
        self.generation += 1

    async def find(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """See ``SigningKeySource``."""
        return self._keys.find(name, algorithm)


def _usable(member: dict[str, Any], algorithms: Iterable[str]) -> Iterator[tuple[str | None, str, jwt.PyJWK]]:
    """``member`` with each algorithm that it is good for. Secret and private keys should not be there."""
    if member.get("use", "sig") != "sig" or "d" in member or "k" in member:
        return
    for algorithm in algorithms:
        if member.get("alg", algorithm) == algorithm and _fits(member, algorithm):
            try:
                yield member.get("kid"), algorithm, jwt.PyJWK(member, algorithm)
            except jwt.PyJWTError:
                return


def _fits(member: dict[str, Any], algorithm: str) -> bool:
    if algorithm in _EC_CURVES:
        return member.get("kty") == "EC" and member.get("crv") == _EC_CURVES[algorithm]
    if algorithm == "EdDSA":
        return member.get("kty") == "OKP"
    return member.get("kty") == "RSA"
