"""Against DSPy's own adapters: what comes in pieces is, together, what they make of the whole."""

from __future__ import annotations

import json
from typing import Any

import dspy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_service.programs.streams.field_text import FieldText

SIGNATURE: Any = dspy.Signature("question -> answer")
WORDS = [*"[]# aé\u00a0\n\r\t\v\f\x1c\x85\u2028{}", "answer", "[[ ##", " ## ]]"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
NESTED = st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
HEADERS = st.sampled_from(
    [
        "[[ ## answer ## ]]",
        "\n[[ ## answer ## ]]\n",
        "\n\n[[ ## reasoning ## ]]\n",
        "\n\n[[ ## completed ## ]]",
        "\n  [[ ## answer ## ]]  ",
        "\n[[ ## answer ## ]",
        "\r\n[[ ## x ## ]]\r\n",
    ]
)
SOME = st.lists(TEXT | HEADERS | st.text(max_size=5), max_size=6).map("".join)
REPLIES = st.builds("Well{}\n[[ ## answer ## ]]{}".format, SOME, SOME)
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=10)


def _told(reply: str, cuts: list[int], field: str = "answer") -> str:
    """The field's text, when the reply comes in pieces of these lengths, the last one repeated."""
    taken, at, told = FieldText(field), 0, ""
    for number in range(len(reply)):
        size = cuts[min(number, len(cuts) - 1)]
        told += taken.feed(reply[at : at + size])
        at += size
    return told + taken.end()


@given(REPLIES, CUTS)
@example("[[ ## reasoning ## ]]\nr\n[[ ## answer ## ]]\n a \n\n b \n\n[[ ## completed ## ]]", [1])
@example("[[ ## answer ## ]] on the line  \n next [[ ## answer ## ]]\n[[ ## reasoning ## ]]", [3])
@example("[[ ## reasoning ## ]]\n[[ ## answer ## ]]\na\r\nb\rc\u2028d\n[[ ## answer ## ]]\nsecond", [2])
@example("  [[ ## answer ## ]] x\n[[ ## reasoning ## ]]", [1])
@example("[[ ## reasoning ## ]]\n[[ ## answer ## ]]\nlist[[ ## no ## ]] [[ ## \n[[ ##  ## ]]", [1])
def test_a_chat_reply_in_pieces_gives_what_the_adapter_parses(reply: str, cuts: list[int]) -> None:
    """However the reply is cut and whatever it holds: headers, halves of them, odd line ends, white space."""
    assert _told(reply, cuts) == dspy.ChatAdapter().parse(SIGNATURE, reply)["answer"]


@given(
    answer=st.text(),
    reasoning=st.text() | NESTED,
    ascii_only=st.booleans(),
    answer_first=st.booleans(),
    around=st.sampled_from([("", ""), ("```json\n", "\n```"), ("\n ", "\n")]),
    cuts=CUTS,
)
def test_a_json_reply_in_pieces_gives_the_value(
    answer: str,
    reasoning: object,
    ascii_only: bool,
    answer_first: bool,
    around: tuple[str, str],
    cuts: list[int],
) -> None:
    """However the object is cut and written: escapes, surrogate pairs, nested values before and after."""
    value = {"reasoning": reasoning, "answer": answer}
    if answer_first:
        value = {"answer": answer, "reasoning": reasoning}
    reply = json.dumps(value, ensure_ascii=ascii_only, indent=len(answer) % 3 or None)

    assert _told(around[0] + reply + around[1], cuts) == json.loads(reply)["answer"]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   ",
        "no header at all",
        "[[ ## reasoning ## ]]\nnothing else",
        '{"answer": 4}',
        '{"reasoning": {"answer": "inner"}}',
        '{"reasoning": ["answer", "x"], "other": "answer"}',
        "<answer>xml</answer>",
    ],
)
def test_nothing_is_told_of_what_is_no_text_of_the_field(reply: str) -> None:
    """The whole answer comes at its end instead."""
    assert _told(reply, [1]) == ""


def test_text_is_told_as_soon_as_it_is_certain() -> None:
    """A reader waits for no line's end, only where a header or the field's end may follow."""
    taken = FieldText("answer")

    assert taken.feed("[[ ## answer ## ]]\nHel") == "Hel"
    assert taken.feed("lo ") == "lo"
    assert taken.feed("wor") == " wor"
    assert taken.feed("ld\n[") == "ld"
    assert taken.feed("1]") == "\n[1]"
    assert taken.feed("\n\n[[ ## comp") == ""
    assert taken.feed("leted ## ]]\nignored") == ""
    assert taken.end() == ""


def test_a_json_text_that_breaks_its_escapes_is_told_no_further() -> None:
    """DSPy mends it when it is whole, and the answer puts it right."""
    taken = FieldText("answer")

    assert taken.feed('{"answer": "a\\u12zz b"') == "a"
