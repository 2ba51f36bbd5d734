"""One answer in a terminal: steps as they happen, text as it comes, what it took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agent_service.chat.service import ChatEvent

_MAX_ARGUMENT_CHARS = 100
_SECOND_MS = 1000


class AnswerDisplay:
    """Writes the events of one question to standard output, the answer alone when nobody watches.

    Args:
        watched: whether a person looks on, who wants to see steps and figures.
    """

    def __init__(self, *, watched: bool) -> None:
        self._watched = watched
        self._text = ""
        self._arguments: dict[int, str] = {}

    def __repr__(self) -> str:
        return f"<AnswerDisplay {len(self._text)} characters>"

    def show(self, event: ChatEvent) -> None:
        """Write what ``event`` tells."""
        if event.kind == "answer":
            self._end(event.data)
        elif self._watched:
            self._follow(event)

    def break_off(self) -> None:
        """Nothing more will come."""
        if self._text:
            click.echo()
            self._text = ""

    def _follow(self, event: ChatEvent) -> None:
        data = event.data
        if event.kind == "tool.started":
            self._arguments[data["step"]] = _shortly(data["arguments"])
        elif event.kind == "tool.finished":
            self._step(data)
        elif event.kind == "lm.finished" and data["outcome"] != "success":
            self._line(f"  ✗ {data['model']}: {data['outcome']}, {_duration(data['latency_ms'])}")
        elif event.kind == "answer.delta":
            click.echo(data["text"], nl=False)
            self._text += data["text"]
        elif event.kind == "answer.reset":
            self.break_off()
            self._line("  (the model begins its answer anew)")

    def _step(self, data: dict[str, Any]) -> None:
        mark = "✓" if data["outcome"] == "success" else "✗"
        outcome = "" if data["outcome"] == "success" else f"{data['outcome']}, "
        arguments = self._arguments.pop(data["step"], "")
        self._line(f"  {mark} {data['tool']}({arguments})  {outcome}{_duration(data['latency_ms'])}")

    def _line(self, text: str) -> None:
        self.break_off()
        click.secho(text, dim=True)

    def _end(self, answer: dict[str, Any]) -> None:
        text = text_of(answer)
        if not text.startswith(self._text):
            self.break_off()
        click.echo(text[len(self._text) :])
        if self._watched:
            click.secho(_figures(answer), dim=True)


def text_of(answer: dict[str, Any]) -> str:
    """The answer; of a program that was asked by name its only text, or each output on a line of its own."""
    if "outputs" not in answer:
        return str(answer["answer"])
    outputs: dict[str, Any] = answer["outputs"]
    told = [value for name, value in outputs.items() if name != "reasoning"]
    if len(told) == 1 and isinstance(told[0], str):
        return told[0]
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in outputs.items()
    )


def _figures(answer: dict[str, Any]) -> str:
    steps = answer["reasoning_steps"]
    figures = [
        _duration(answer["latency_ms"]),
        f"{steps} step{'' if steps == 1 else 's'}",
        f"{answer['usage']['total_tokens']} tokens",
        answer["model"],
    ]
    figures += [] if answer["stored"] else ["not stored"]
    return "  " + ", ".join([*figures, *(f"without {part}" for part in answer["degraded"])])


def _shortly(arguments: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return text if len(text) <= _MAX_ARGUMENT_CHARS else f"{text[:_MAX_ARGUMENT_CHARS]}…"


def _duration(milliseconds: float) -> str:
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / _SECOND_MS:.1f} s"
