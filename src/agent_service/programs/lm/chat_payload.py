"""Bodies of chat requests: lm15's to the byte, without its mapping where only texts differ from the last."""
# ruff: noqa: SLF001 - DSPy is pinned; these are the steps of lm15's own complete(), compared with it by a test

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from dspy import lm15
from dspy._vendor.lm15.providers.common import json_dumps

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLOATS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_LEAST_PLAIN_FLOAT = 1e-4  # Python writes smaller ones with an exponent of two digits, orjson with one
_MOST_KNOWN = 64


class _Known(NamedTuple):
    """What lm15 makes of one config beside the messages."""

    config: lm15.Config
    model: str
    roles: Mapping[str, str]
    rest: Mapping[str, Any]


class PlainBodies:
    """Writes the bodies of requests that hold one text a message, with settings that were seen before.

    Settings are known by their identity: those that are equal may still be written differently (1 and 1.0).

    Args:
        mapping: lm15's of the provider.
    """

    def __init__(self, mapping: Any) -> None:
        self._mapping = mapping
        self._known: dict[int, _Known] = {}
        self._roles: dict[str, Mapping[str, str]] = {}

    def __repr__(self) -> str:
        return f"<PlainBodies of {len(self._known)} configs>"

    def body(self, request: lm15.Request, model: str) -> bytes | None:
        """The body of ``request``, asked of ``model``; None when lm15 is to make it."""
        known = self._known.get(id(request.config))
        if known is None or known.model != model or request.tools or request.config.extensions:
            return None
        messages = _plain_messages(request, known.roles)
        if messages is None:
            return None
        try:
            return orjson.dumps({"model": known.model, "messages": messages, **known.rest})
        except TypeError:
            return None

    def learn(self, request: lm15.Request, payload: dict[str, Any]) -> None:
        """Keep what lm15 made of ``request``, without any adaptation, for others with the same settings."""
        config = request.config
        if config.cache or config.probabilities or not holds_plain_values(request):
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if request.model not in self._roles:
            self._roles[request.model] = self._roles_of(request.model)
        rest = {name: value for name, value in payload.items() if name not in {"model", "messages"}}
        self._known[id(config)] = _Known(config, request.model, self._roles[request.model], rest)

    def _roles_of(self, model: str) -> Mapping[str, str]:
        """The provider's names of those roles whose messages have nothing beside their text."""
        texts = {"system": "s", "user": "u", "assistant": "a", "developer": "d"}
        turns = (lm15.Message.user("u"), lm15.Message.assistant("a"), lm15.Message.developer("d"))
        probe = lm15.Request(model=model, system="s", messages=turns)
        rows = self._mapping._payload(probe, stream=False)["messages"]
        return {
            role: row["role"]
            for row, (role, text) in zip(rows, texts.items(), strict=True)
            if row == {"role": row["role"], "content": text}
        }


def encoded(request: lm15.Request, payload: dict[str, Any]) -> bytes:
    """The bytes that lm15 makes of ``payload``, the payload of ``request``.

    Raises:
        ValueError: for text that is no Unicode.
    """
    if holds_plain_values(request):
        with suppress(TypeError):
            return orjson.dumps(payload)
    whole: bytes = json_dumps(payload)
    return whole


def holds_plain_values(request: lm15.Request) -> bool:
    """Whether all there is to write is text, integers and floats that both write alike."""
    config = request.config
    if request.tools or config.extensions or config.response_format:
        return False
    floats = [value for name in _FLOATS if (value := getattr(config, name))]
    return all(abs(value) >= _LEAST_PLAIN_FLOAT for value in floats)


def _plain_messages(request: lm15.Request, roles: Mapping[str, str]) -> list[dict[str, str]] | None:
    messages = []
    if request.system:
        if type(request.system) is not str or "system" not in roles:
            return None
        messages.append({"role": roles["system"], "content": request.system})
    for message in request.messages:
        parts, role = message.parts, roles.get(message.role)
        if role is None or len(parts) != 1 or type(parts[0]) is not lm15.TextPart:
            return None
        messages.append({"role": role, "content": parts[0].text})
    return messages
