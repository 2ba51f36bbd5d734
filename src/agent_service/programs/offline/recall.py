"""What was said earlier in a conversation, and questions about that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

USER = "user"
ASSISTANT = "assistant"

_SPEAKERS = {"User: ": USER, "Assistant: ": ASSISTANT}
_LONGEST_QUOTE_CHARACTERS = 200

_ASKED = re.compile(
    r"\bwhat (?:did|have|had) (?:i|we) (?:\w+ ){0,2}(?:ask|say|said|tell|told|talk|discuss|mention)"
    r"|\bmy (?:last|previous|first|earlier) (?:question|message)s?\b"
    r"|\bremember what i (?:just )?(?:asked|said|told)\b"
    r"|\b(?:summari[sz]e|repeat|recall) (?:this|our|the) conversation\b"
)
_ANSWERED = re.compile(
    r"\bwhat did you (?:\w+ ){0,2}(?:say|answer|tell|reply)"
    r"|\byour (?:last|previous) (?:answer|reply)\b"
    r"|\bwhat was (?:the|your) (?:last |previous )?(?:answer|result)\b"
)
_WHAT_IS_MY = re.compile(
    r"\bwhat(?:'s| is| was) my ([a-z]+(?: [a-z]+){0,3})\W*$|\b(?:know|remember|tell me) my (name)\b"
)
_WHO_AM_I = re.compile(r"\bwho am i\b")
_FACT = re.compile(r"\bmy ([a-z]+(?: [a-z]+){0,3}?) (?:is|are) ([^.,;!?\n]{1,100})", re.IGNORECASE)
_NAME = re.compile(r"\b(?:i am|i'm|call me) ((?-i:[A-Z])[\w'-]{0,50})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Said:
    """One message: who said it, and what."""

    speaker: str
    text: str


def conversation_messages(conversation: str) -> tuple[Said, ...]:
    """Read ``User: ...`` and ``Assistant: ...`` lines; a line indented by two blanks continues a message."""
    messages: list[Said] = []
    for line in conversation.split("\n"):
        prefix = next((prefix for prefix in _SPEAKERS if line.startswith(prefix)), None)
        if prefix:
            messages.append(Said(_SPEAKERS[prefix], line[len(prefix) :]))
        elif messages:
            last = messages.pop()
            messages.append(Said(last.speaker, f"{last.text}\n{line.removeprefix('  ')}"))
    return tuple(messages)


def recall(question: str, earlier: Sequence[Said]) -> str | None:
    """The answer to a question about the conversation itself; None when ``question`` is not one."""
    text = " ".join(question.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    asked = _ASKED.search(text)
    if asked:
        return _asked(asked[0] + text[asked.end() :], [said.text for said in earlier if said.speaker == USER])
    if _ANSWERED.search(text):
        answers = [said.text for said in earlier if said.speaker == ASSISTANT]
        return f"I answered: {_quoted(answers[-1])}" if answers else "I have not answered anything before."
    about = _WHAT_IS_MY.search(text)
    topic = "name" if _WHO_AM_I.search(text) else (about[1] or about[2]) if about else None
    return None if topic is None else _told(topic, earlier)


def noted(statement: str) -> str | None:
    """An acknowledgement of what the user tells about themselves; None when ``statement`` tells nothing."""
    facts = _facts(statement)
    told = " and ".join(f"your {topic} is {fact}" for topic, fact in facts.items())
    return f"Noted: {told}. Ask me for it later in this conversation." if told else None


def _asked(words: str, questions: Sequence[str]) -> str:
    if not questions:
        return "This is the first thing you have asked me in this conversation."
    if re.search(r"\bfirst\b", words):
        questions = questions[:1]
    elif re.search(r"\b(?:last|previous|just)\b", words):
        questions = questions[-1:]
    return f"You asked: {'; '.join(map(_quoted, questions))}"


def _told(topic: str, earlier: Sequence[Said]) -> str:
    for said in reversed(earlier):
        fact = _facts(said.text).get(topic) if said.speaker == USER else None
        if fact:
            return f"Your {topic} is {fact}."
    return f"You have not told me your {topic} in this conversation."


def _facts(text: str) -> dict[str, str]:
    facts = {match[1].lower(): match[2].strip() for match in _FACT.finditer(text) if match[2].strip()}
    name = _NAME.search(text)
    return {"name": name[1], **facts} if name else facts


def _quoted(text: str) -> str:
    shown = text if len(text) <= _LONGEST_QUOTE_CHARACTERS else f"{text[:_LONGEST_QUOTE_CHARACTERS]}…"
    return f'"{shown}"'
