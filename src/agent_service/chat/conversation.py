"""A conversation in a terminal: questions and a few commands, until the end of the input."""

from __future__ import annotations

import importlib
import secrets
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from agent_service.chat.display import AnswerDisplay
from agent_service.chat.service import ChatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent_service.chat.service import ChatService

_PROMPT = "> "
_HELP = """\
  /history   what was said so far
  /new       begin a new conversation
  /erase     forget this one
  /quit      leave (Ctrl-D too)
Ctrl-C stops an answer."""


class Conversation:
    """Asks questions and shows what comes of them.

    Args:
        service: answers them.
        watched: whether a person looks on, who wants to see steps and figures.
    """

    def __init__(self, service: ChatService, *, watched: bool) -> None:
        self._service = service
        self._watched = watched
        self._commands: dict[str, Callable[[], None]] = {
            "/help": lambda: click.echo(_HELP),
            "/history": self._show_history,
            "/new": self._begin,
            "/erase": self._erase,
        }

    def __repr__(self) -> str:
        return f"<Conversation with {self._service!r}>"

    def hold(self, lines: Iterable[str]) -> bool:
        """Take ``lines`` as questions and commands until they end; whether all went well."""
        went_well = True
        for line in lines:
            said = line.strip()
            if said in {"/quit", "/exit"}:
                break
            if said:
                went_well = self._take(said) and went_well
        return went_well

    def ask(self, question: str) -> None:
        """Ask one question.

        Raises:
            ChatError: it has no answer.
            KeyboardInterrupt: the person does not want it any more; the run is stopped.
        """
        display = AnswerDisplay(watched=self._watched)
        try:
            with closing(self._service.ask(question)) as events:  # type: ignore[type-var] # it is a generator
                for event in events:
                    display.show(event)
        except BaseException:
            display.break_off()
            raise

    def _take(self, said: str) -> bool:
        try:
            if said.startswith("/"):
                self._commands.get(said, lambda: click.echo(f"No such command.\n{_HELP}"))()
            else:
                self.ask(said)
        except ChatError as error:
            click.secho(f"  {error}", fg="red", err=True)
            return False
        except KeyboardInterrupt:
            click.secho("  stopped", dim=True, err=True)
            return False
        return True

    def _show_history(self) -> None:
        turns = self._service.history()
        for turn in turns:
            click.echo(f"{click.style(_PROMPT, bold=True)}{turn['question']}\n{turn['answer']}")
        if not turns:
            click.secho("  nothing was said here yet", dim=True)

    def _begin(self) -> None:
        self._service.session_id = f"chat-{secrets.token_hex(4)}"
        click.secho(f"  conversation {self._service.session_id}", dim=True)

    def _erase(self) -> None:
        turns = self._service.erase()
        click.secho(f"  {turns} turn{'' if turns == 1 else 's'} forgotten", dim=True)


def typed_lines() -> Iterator[str]:
    """What a person types, line by line, with editing and recall where the terminal can.

    Ctrl-C drops the line; twice in a row it is the end, as Ctrl-D is.
    """
    with suppress(ImportError):  # some systems lack it; importing it is what makes input() editable
        importlib.import_module("readline")
    dropped = False
    while True:
        try:
            line = input(_PROMPT)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo("\n  Ctrl-C once more, or Ctrl-D, to leave" if not dropped else "")
            if dropped:
                return
            dropped = True
        else:
            dropped = False
            yield line
