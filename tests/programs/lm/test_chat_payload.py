"""Bodies that are written without lm15: whose, and that it is the same settings they are known by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from dspy import lm15

from agent_service.programs.lm.chat_payload import PlainBodies, holds_plain_values

PLAIN = lm15.Request(model="m", system="Be brief.", messages=(lm15.Message.user("2+2?"),))


class Mapping:
    """lm15's, of a provider that calls its system "developer" and adds to what assistants said."""

    def _payload(self, request: lm15.Request, *, stream: bool) -> dict[str, Any]:
        assert not stream
        names = {"assistant": {"reasoning_content": ""}}
        rows = [{"role": m.role, "content": m.text, **names.get(m.role, {})} for m in request.messages]
        return {"model": request.model, "messages": [{"role": "developer", "content": "s"}, *rows]}


def knowing(request: lm15.Request, **rest: Any) -> PlainBodies:
    """One that has seen ``request`` mapped."""
    bodies = PlainBodies(Mapping())
    bodies.learn(request, {"model": request.model, "messages": [], **rest})
    return bodies


def test_a_body_is_written_from_what_was_seen() -> None:
    """The provider's names of roles, and whatever the settings came to."""
    body = knowing(PLAIN, seed=7).body(replace(PLAIN, messages=(lm15.Message.user("more"),)), "m")
    assert body is not None
    assert orjson.loads(body) == {
        "model": "m",
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "more"}],
        "seed": 7,
    }


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, config=replace(PLAIN.config)),
        replace(PLAIN, model="other"),
        replace(PLAIN, messages=(lm15.Message.user([lm15.TextPart(text="a"), lm15.TextPart(text="b")]),)),
        replace(PLAIN, messages=(lm15.Message.assistant("a"),)),
        replace(PLAIN, messages=(lm15.Message.user("a\ud800"),)),
        replace(PLAIN, tools=(lm15.FunctionTool(name="f", description="", parameters={"type": "object"}),)),
    ],
    ids=["equal settings", "another model", "two parts", "a role with more", "no Unicode", "tools"],
)
def test_everything_else_is_lm15_s(other: lm15.Request) -> None:
    """Settings that are equal may be written differently: 1 and 1.0."""
    assert knowing(PLAIN).body(other, other.model) is None


def test_settings_whose_mapping_may_depend_on_the_messages_are_not_learned() -> None:
    """Caches mark messages, and numbers are not all written alike."""
    for config in (
        lm15.Config(cache=lm15.CacheConfig(mode="off")),
        lm15.Config(temperature=1e-7),
        lm15.Config(response_format={"type": "json_object"}),
        lm15.Config(extensions={"n": 1}),
    ):
        request = replace(PLAIN, config=config)
        assert knowing(request).body(request, "m") is None
    assert not holds_plain_values(replace(PLAIN, config=lm15.Config(temperature=1e-7)))


def test_settings_that_are_new_each_time_do_not_fill_the_memory() -> None:
    """DSPy's own path makes them anew for every call."""
    bodies = PlainBodies(Mapping())
    requests = [replace(PLAIN, config=lm15.Config(seed=number)) for number in range(200)]
    for request in requests:
        bodies.learn(request, {"model": "m", "messages": []})
    assert sum(bodies.body(request, "m") is not None for request in requests) <= 64


def test_system_messages_that_are_new_each_time_do_not_fill_the_memory() -> None:
    """Those that were written before are written the same."""
    bodies = knowing(PLAIN)
    requests = [replace(PLAIN, system=f"Be brief, {number} times.") for number in range(20)]
    written = [bodies.body(request, "m") for request in requests * 2]
    assert written[:20] == written[20:]
    assert len(set(written)) == 20
    assert len(bodies._known[id(PLAIN.config)].systems) <= 8  # noqa: SLF001 - what is kept is not to be seen


def test_settings_that_orjson_has_no_room_for_are_not_learned() -> None:
    """lm15 writes any number."""
    assert knowing(PLAIN, seed=2**70).body(PLAIN, "m") is None
