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
_MOST_SYSTEMS = 8
_OWN = frozenset({"model", "messages"})


class _Known(NamedTuple):
    """What lm15 makes of one config, as bytes before and after those of the messages.

    Attributes:
        before: up to the first message.
        openings: of a message, up to its text, by role.
        systems: system messages that were written before.
        after: from the end of the last message.
    """

    config: lm15.Config
    model: str
    before: bytes
    openings: Mapping[str, bytes]
    systems: dict[str, bytes]
    after: bytes


class PlainBodies:
    """Writes the bodies of requests that hold one text a message, with settings that were seen before.

    Settings are known by their identity: those that are equal may still be written differently (1 and 1.0).

    Args:
        mapping: lm15's of the provider.
    """

    def __init__(self, mapping: Any) -> None:
        self._mapping = mapping
        self._known: dict[int, _Known] = {}
        self._openings: dict[str, Mapping[str, bytes]] = {}

    def __repr__(self) -> str:
        return f"<PlainBodies of {len(self._known)} configs>"

    def body(self, request: lm15.Request, model: str) -> bytes | None:
        """The body of ``request``, asked of ``model``; None when lm15 is to make it."""
        known = self._known.get(id(request.config))
        if known is None or known.model != model or request.tools or request.config.extensions:
            return None
        try:
            messages = _messages(request, known)
        except TypeError:  # text that is no Unicode
            return None
        return None if messages is None else b"%b%b%b" % (known.before, b",".join(messages), known.after)

    def learn(self, request: lm15.Request, payload: dict[str, Any]) -> None:
        """Keep what lm15 made of ``request``, without any adaptation, for others with the same settings."""
        config = request.config
        if config.cache or config.probabilities or not holds_plain_values(request):
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if request.model not in self._openings:
            self._openings[request.model] = self._openings_of(request.model)
        try:
            rest = orjson.dumps({name: payload[name] for name in payload if name not in _OWN})
        except TypeError:  # a number that orjson has no room for
            return
        before = b'{"model":%b,"messages":[' % orjson.dumps(request.model)
        after = b"]" + (b"," + rest[1:] if len(rest) > len(b"{}") else b"}")
        openings = self._openings[request.model]
        self._known[id(config)] = _Known(config, request.model, before, openings, {}, after)

    def _openings_of(self, model: str) -> Mapping[str, bytes]:
        """By the provider's names of those roles whose messages have nothing beside their text."""
        texts = {"system": "s", "user": "u", "assistant": "a", "developer": "d"}
        turns = (lm15.Message.user("u"), lm15.Message.assistant("a"), lm15.Message.developer("d"))
        probe = lm15.Request(model=model, system="s", messages=turns)
        rows = self._mapping._payload(probe, stream=False)["messages"]
        return {
            role: b'{"role":%b,"content":' % orjson.dumps(row["role"])
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


def _messages(request: lm15.Request, known: _Known) -> list[bytes] | None:
    openings, messages = known.openings, []
    if request.system:
        if type(request.system) is not str or "system" not in openings:
            return None
        messages.append(known.systems.get(request.system) or _system(request.system, known))
    for message in request.messages:
        parts, opening = message.parts, openings.get(message.role)
        if opening is None or len(parts) != 1 or type(parts[0]) is not lm15.TextPart:
            return None
        messages.append(opening + orjson.dumps(parts[0].text) + b"}")
    return messages


def _system(text: str, known: _Known) -> bytes:
    if len(known.systems) >= _MOST_SYSTEMS:
        known.systems.clear()
    written = known.systems[text] = known.openings["system"] + orjson.dumps(text) + b"}"
    return written
