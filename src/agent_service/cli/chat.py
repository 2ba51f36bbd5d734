"""``agent-service chat``: talk to the agent in the terminal."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from agent_service.cli.trust import ca_file_option, trust_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent_service.chat.service import ChatService

_INTERRUPTED = 130


@click.command(epilog="Exit status: 0 answered, 1 not answered, 130 stopped by Ctrl-C.")
@click.argument("question", required=False)
@click.option("--url", metavar="URL", help="A service that runs already; else one is started meanwhile.")
@click.option("--key", metavar="KEY", envvar="AGENT_SERVICE_KEY", show_envvar=True, help="Its API key.")
@ca_file_option
@click.option("--program", metavar="NAME", help="Which of the service's programs.  [default: its first]")
@click.option("--user", metavar="NAME", help="Who asks.  [default: your login name]")
@click.option("--session", default="default", show_default=True, metavar="ID", help="Which conversation.")
@click.option("--quiet", is_flag=True, help="Answers only, without steps and figures.")
@click.pass_context
def chat(
    context: click.Context,
    /,
    question: str | None,
    *,
    url: str | None,
    key: str | None,
    ca_file: Path | None,
    program: str | None,
    user: str | None,
    session: str,
    quiet: bool,
) -> None:
    """Talk to the agent, or ask it one QUESTION.

    Shows its steps as they happen and the answer as it is written. Ctrl-C stops an answer, /help lists
    commands. Questions may also come from a pipe, one on each line. A program that takes more than a question
    gets its inputs as a JSON object.
    """
    from agent_service.chat.conversation import Conversation, typed_lines
    from agent_service.chat.service import ChatError, ChatService

    typed = question is None and sys.stdin.isatty()
    try:
        with _service_at(url) as at:
            name = user or getpass.getuser()
            service = ChatService(
                at, user_id=name, session_id=session, key=key, program=program, trust=trust_of(ca_file)
            )
            conversation = Conversation(service, watched=sys.stdout.isatty() and not quiet)
            if question is not None:
                conversation.ask(question)
                return
            if typed:
                _greet(service)
            went_well = conversation.hold(typed_lines() if typed else sys.stdin)
    except ChatError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    context.exit(0 if went_well or typed else 1)


def _greet(service: ChatService) -> None:
    click.secho(f"{service.greeting()}; /help lists commands", dim=True)


@contextmanager
def _service_at(url: str | None) -> Iterator[str]:
    """The address of the service; one of its own, which ends with the chat, when there is none."""
    if url is not None:
        yield url
        return
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from agent_service.chat.service import ChatError
    from agent_service.loadtest.stage.process import ServerProcess, StageError

    environ = {
        **os.environ,
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": "0",
        "LOG_FORMAT": "json",
        "SERVER_WORKERS": "1",
    }
    command = [sys.executable, "-m", "agent_service", "serve"]
    with TemporaryDirectory(prefix="agent-service-chat-") as folder:
        process = ServerProcess("service", command, environ=environ, folder=Path(folder))
        try:
            yield process.url()
        except StageError as error:
            raise ChatError(str(error)) from error
        finally:
            process.close()
