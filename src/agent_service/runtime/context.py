"""How much of a conversation a program is shown: whole turns while they fit, shortened ones when not."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.messages import Turn

MARK = " […] "
"""Stands for what was left out."""

LEAST_BUDGET_TOKENS = 100
"""A smaller budget is taken for this one: of less than a few lines nothing can be made."""

_CHARS_PER_TOKEN = 4
_LEAST_TURN_CHARS = 80
_ZERO_WIDTH_JOINER = "\N{ZERO WIDTH JOINER}"
_VIRAMA_CLASS = 9


def within_budget(turns: Sequence[Turn], budget_tokens: int) -> tuple[Turn, ...]:
    """The newest of ``turns`` (oldest first), at most ``budget_tokens`` long, at four characters a token.

    Turns that fit come back as they are. Otherwise the newest is the fullest: each turn has at least half of
    what the newer ones left, more when the older ones need less, and is shortened in its middle to that. A
    turn of which too little would be left goes, with all older ones; the newest stays.
    """
    budget_chars = max(budget_tokens, LEAST_BUDGET_TOKENS) * _CHARS_PER_TOKEN
    sizes = [len(turn.question) + len(turn.answer) for turn in turns]
    if sum(sizes) <= budget_chars:
        return tuple(turns)
    older_chars = accumulate(sizes, initial=0)
    shown: list[Turn] = []
    for turn, size, older in reversed(list(zip(turns, sizes, older_chars, strict=False))):
        share = _share(size, older, budget_chars)
        if shown and share < min(size, _LEAST_TURN_CHARS):
            break
        shown.append(_shortened(turn, share))
        budget_chars -= share
    return tuple(reversed(shown))


def shortened(text: str, limit_chars: int) -> str:
    """``text`` in at most ``limit_chars``, which is at least the mark's length, its middle left out.

    It is cut only where no visible character is torn: rather too early than within an emoji, a letter with
    its accents or a syllable. This errs on the safe side of Unicode's grapheme clusters (UAX 29, 3.1.1).
    """
    if len(text) <= limit_chars:
        return text
    kept = limit_chars - len(MARK)
    head = (kept + 1) // 2
    tail = len(text) - kept // 2
    while head > 0 and _belong_together(text[head - 1], text[head]):
        head -= 1
    while tail < len(text) and _belong_together(text[tail - 1], text[tail]):
        tail += 1
    return f"{text[:head]}{MARK}{text[tail:]}"


def _share(size: int, others: int, available: int) -> int:
    """Of what is ``available``: all that is needed, or what ``others`` leave, at least half."""
    return min(size, max((available + 1) // 2, available - others))


def _shortened(turn: Turn, limit_chars: int) -> Turn:
    question_chars = _share(len(turn.question), len(turn.answer), limit_chars)
    question = shortened(turn.question, question_chars)
    answer = shortened(turn.answer, limit_chars - question_chars)
    return replace(turn, question=question, answer=answer)


def _belong_together(before: str, after: str) -> bool:
    """Whether a cut between the two might tear a visible character."""
    return (
        _extends(after)
        or before == _ZERO_WIDTH_JOINER
        or unicodedata.combining(before) == _VIRAMA_CLASS
        or (before, after) == ("\r", "\n")
        or _begins_syllable(before)
        or any(is_half(before) and is_half(after) for is_half in (_is_regional, _is_surrogate))
    )


def _extends(char: str) -> bool:
    """A mark, a joiner or a tag, the skin colour of an emoji, a later letter of a Korean syllable."""
    return (
        unicodedata.category(char) in {"Mn", "Mc", "Me", "Cf"}
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\u1160" <= char <= "\u11ff"
        or "\ud7b0" <= char <= "\ud7fb"
    )


def _is_regional(char: str) -> bool:
    """Half of a flag."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _begins_syllable(char: str) -> bool:
    """A first letter of a Korean syllable."""
    return "\u1100" <= char <= "\u115f" or "\ua960" <= char <= "\ua97c"


def _is_surrogate(char: str) -> bool:
    """Half of a pair that nobody put together."""
    return "\ud800" <= char <= "\udfff"
