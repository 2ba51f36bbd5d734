"""The file of MCP servers: its form, its variables, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_service.programs.loader import LoadError
from agent_service.programs.mcp.servers_file import HttpServer, StdioServer, read_servers


def write(folder: Path, servers: object) -> Path:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    return path


def problem_of(folder: Path, entry: Any, name: str = "weather") -> str:
    """What is said of a file with one wrong entry."""
    with pytest.raises(LoadError) as caught:
        read_servers(write(folder, {name: entry}), {})
    return str(caught.value)


def test_processes_and_addresses_are_servers(tmp_path: Path) -> None:
    """The usual form; a server with a url needs no type."""
    process = {"command": "uvx", "args": ["weather"], "env": {"A": "1"}, "cwd": "/srv", "required": False}
    address = {"url": "https://example.org/mcp", "headers": {"X": "1"}}
    typed = {"type": "streamable-http", "url": "http://localhost/mcp"}
    assert read_servers(write(tmp_path, {"a": process, "b": address, "c": typed}), {}) == (
        StdioServer(
            name="a", command="uvx", args=("weather",), env={"A": "1"}, cwd=Path("/srv"), required=False
        ),
        HttpServer(name="b", url="https://example.org/mcp", headers={"X": "1"}),
        HttpServer(name="c", type="streamable-http", url="http://localhost/mcp"),
    )


def test_variables_are_expanded(tmp_path: Path) -> None:
    """Keys stay out of the file; a default stands in for what is not set or empty."""
    entry = {"url": "https://${HOST:-example.org}/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}
    (server,) = read_servers(write(tmp_path, {"a": entry}), {"TOKEN": "abc", "HOST": ""})
    assert server == HttpServer(
        name="a", url="https://example.org/mcp", headers={"Authorization": "Bearer abc"}
    )


def test_a_variable_that_is_not_set_is_refused(tmp_path: Path) -> None:
    """An empty key would be refused by the server, much later."""
    assert "weather: the variable TOKEN is not set" in problem_of(
        tmp_path, {"command": "x", "args": ["${TOKEN}"]}
    )


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither headers, environment nor address, which may hold a key."""
    servers = {"a": {"url": "http://h/?key=secret", "headers": {"X": "secret"}}}
    process = {"b": {"command": "x", "env": {"KEY": "secret"}}}
    assert "secret" not in repr(read_servers(write(tmp_path, {**servers, **process}), {}))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("uvx", "weather: must be an object with either a command or a url"),
        ({"command": "x", "url": "http://h"}, "weather: must be an object with either a command or a url"),
        ({"command": ""}, "weather.command: String should have at least 1 character"),
        ({"command": "x", "args": "y"}, "weather.args: Input should be a valid tuple"),
        ({"command": "x", "env": {"A": 1}}, "weather.env.A: Input should be a valid string"),
        ({"command": "x", "requird": False}, "weather.requird: Extra inputs are not permitted"),
        ({"url": "ftp://h"}, "weather.url: String should match pattern"),
        ({"type": "sse", "url": "http://h"}, "weather: the type sse is not supported"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: Any, said: str) -> None:
    """Server, place and what is wrong."""
    assert said in problem_of(tmp_path, entry)


def test_a_name_must_do_for_tools(tmp_path: Path) -> None:
    """It is part of their names."""
    assert "my server: String should match pattern" in problem_of(tmp_path, {"command": "x"}, "my server")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One start tells of all."""
    with pytest.raises(LoadError) as caught:
        read_servers(write(tmp_path, {"a": {}, "b": {}}), {})
    assert ("a: must" in str(caught.value), "b: must" in str(caught.value)) == (True, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no JSON"), ("[]", "is not of the form"), ('{"mcpServers": []}', "is not of the form")],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With its name."""
    path = tmp_path / "mcp.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LoadError, match=said):
        read_servers(path, {})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        read_servers(tmp_path / "none.json", {})
