"""The file that names MCP servers, in the form that other programs read too.

``{"mcpServers": {name: {"command", "args", "env", "cwd"} or {"type": "http", "url", "headers"}}}``. In every
text of an entry ``${NAME}`` is the environment variable, ``${NAME:-text}`` the text where it is not set.
"""

from __future__ import annotations

import json
import re
from pathlib import Path  # noqa: TC003 - pydantic evaluates the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class _Entry(BaseModel):
    """What every server has.

    Attributes:
        name: how its tools are named: ``name_tool``.
        required: whether the service does not start without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    required: bool = True


class StdioServer(_Entry):
    """A server that is started as a process. Of our environment it gets only what every program needs."""

    type: Literal["stdio"] = "stdio"
    command: Annotated[str, Field(min_length=1)]
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    cwd: Path | None = None


class HttpServer(_Entry):
    """A server that is reached by streamable HTTP."""

    type: Literal["http", "streamable-http", "streamableHttp"] = "http"
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$", repr=False)]
    headers: dict[str, str] = Field(default_factory=dict, repr=False)


Server: TypeAlias = StdioServer | HttpServer


def read_servers(path: Path, environ: Mapping[str, str]) -> tuple[Server, ...]:
    """The servers that the file names, in its order.

    Raises:
        LoadError: for a file that cannot be read or is not of the form, with all that is wrong.
    """
    servers: list[Server] = []
    problems: list[str] = []
    for name, entry in _entries(path).items():
        try:
            servers.append(_server(name, _expanded(entry, environ)))
        except ValidationError as error:
            problems += (f"{name}{_place(found['loc'])}: {found['msg']}" for found in error.errors())
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise LoadError("\n  ".join((f"these MCP servers in {path} are wrong:", *problems)))
    return tuple(servers)


def _entries(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(f"the MCP servers' file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise LoadError(f"the MCP servers' file {path} is no JSON: {error}") from error
    entries = document.get("mcpServers") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise LoadError(f'the MCP servers\' file {path} is not of the form {{"mcpServers": {{...}}}}')
    return entries


def _server(name: str, entry: Any) -> Server:
    """Raises ``ValueError`` (pydantic's own included) for what describes none."""
    if not isinstance(entry, dict) or ("command" in entry) == ("url" in entry):
        raise ValueError("must be an object with either a command or a url")
    if entry.get("type") == "sse":
        raise ValueError("the type sse is not supported; use the server's streamable HTTP endpoint")
    kind = StdioServer if "command" in entry else HttpServer
    return kind.model_validate({**entry, "name": name})


def _expanded(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with its variables. Raises ``ValueError`` for one that is not set."""

    def of(found: re.Match[str]) -> str:
        variable, otherwise = found.groups()
        text = environ.get(variable) or otherwise
        if text is None:
            raise ValueError(f"the variable {variable} is not set")
        return str(text)

    if isinstance(value, str):
        return _VARIABLE.sub(of, value)
    if isinstance(value, list):
        return [_expanded(item, environ) for item in value]
    if isinstance(value, dict):
        return {key: _expanded(item, environ) for key, item in value.items()}
    return value


def _place(location: tuple[int | str, ...]) -> str:
    return "".join(f".{part}" for part in location if part != "name")
