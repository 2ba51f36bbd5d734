"""One line for each thing worth telling: JSON for machines, coloured text for a terminal.

Everything that logs through the standard library ends here, whoever wrote it. A line has ``timestamp``
(RFC 3339, UTC, milliseconds), ``level``, ``logger``, ``event``, ``request_id`` when a request is the cause,
``key_id`` when its caller came with a key, ``trace_id`` and ``span_id`` within a trace, and what else its
author gave. No value can forge a line: JSON escapes control characters, and so do we for the terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from agent_service.core.caller import CALLER
from agent_service.core.context import REQUEST_ID
from agent_service.core.trace import TRACE
from agent_service.telemetry.line_handler import LineHandler
from agent_service.telemetry.redaction import (
    MODEL_LIBRARIES,
    described,
    fixed_part,
    redacted,
    speaks_with_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMATS = ("json", "pretty")
LEVELS = ("debug", "info", "warning", "error", "critical")

_CHATTY = (*MODEL_LIBRARIES, "httpx", "httpcore", "urllib3", "asyncio")
_TOLD_BY_US = {"opentelemetry.exporter": "critical", "opentelemetry.util.re": "critical"}
"""Traces that cannot be sent are told once, not at each attempt; a wrong header is quoted, perhaps a key."""

_COPIES = ("message", "asctime", "color_message", "taskName")
"""What other formatters, uvicorn and newer Pythons leave behind on a record."""

_RECORDS_OWN = frozenset(vars(logging.makeLogRecord({}))).union(_COPIES)
_escape = json.JSONEncoder(default=repr, separators=(",", ":")).encode
_SELF_MADE = (*MODEL_LIBRARIES, "uvicorn", "uvicorn.error", "uvicorn.access")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How to write, and what is worth writing.

    Attributes:
        format: ``json`` or ``pretty``.
        levels: lowest level by logger; the empty name is all others.
        with_pid: whether a line says which process wrote it, as several do.
    """

    format: str = "json"
    levels: Mapping[str, str] = field(default_factory=lambda: {"": "info"})
    with_pid: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}")
        if not set(self.levels.values()) <= set(LEVELS):
            raise ValueError(f"levels must be of {', '.join(LEVELS)}")


def configure_logging(options: LogOptions, *, stream: TextIO | None = None) -> None:
    """Send all logging of this process to ``stream`` (standard output when None).

    May be called again, and must be once the program has started: DSPy and LiteLLM give their loggers
    handlers of their own when they are imported, the latter late.
    """
    out = stream or sys.stdout
    handler = LineHandler(out)
    handler.setFormatter(_formatter(options, colors=out.isatty()))
    logging.getLogger().handlers[:] = [handler]
    for name in _SELF_MADE:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    chatty = dict.fromkeys(_CHATTY, "warning") | _TOLD_BY_US
    levels = {"": "info"} | chatty | dict(options.levels)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level.upper())


def _formatter(options: LogOptions, *, colors: bool) -> logging.Formatter:
    render: Callable[[dict[str, Any]], str] = _as_json
    if options.format == "pretty":
        render = _renderer_for_terminal(colors=colors)
    return _LineFormatter(render, with_pid=options.with_pid)


class _LineFormatter(logging.Formatter):
    def __init__(self, render: Callable[[dict[str, Any]], str], *, with_pid: bool) -> None:
        super().__init__()
        self._render = render
        self._with_pid = with_pid

    def format(self, record: logging.LogRecord) -> str:
        line = _arranged(record)
        if self._with_pid:
            line["pid"] = record.process
        return self._render(redacted(line))


def _arranged(record: logging.LogRecord) -> dict[str, Any]:
    """The constant part first, then what the author gave, the exception last.

    Of the libraries between users and models the fixed part only.
    """
    is_withheld = speaks_with_model(record.name)
    given = {} if is_withheld else {k: v for k, v in vars(record).items() if k not in _RECORDS_OWN}
    line: dict[str, Any] = {
        "timestamp": _rfc3339(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": fixed_part(record, has_arguments=bool(record.args)) if is_withheld else record.getMessage(),
    }
    request_id = given.pop("request_id", "") or REQUEST_ID.get()
    if request_id:
        line["request_id"] = request_id
    if (key_id := CALLER.get().key_id) is not None:
        line["key_id"] = key_id
    if (trace := TRACE.get()) is not None:
        line["trace_id"], line["span_id"] = trace.trace_id, trace.span_id
    line.update(given)
    if record.exc_info and record.exc_info[1] is not None:
        line["exception"] = described(record.exc_info[1])
    return line


def _as_json(line: dict[str, Any]) -> str:
    """ASCII only: what else a terminal or a log reader may take for the end of a line is escaped."""
    try:
        encoded = orjson.dumps(line, default=repr)
    except TypeError:  # lone surrogates, whole numbers beyond 64 bits, keys that are no text
        return _escape(line)
    return encoded.decode() if encoded.isascii() else _escape(line)


def _renderer_for_terminal(*, colors: bool) -> Callable[[dict[str, Any]], str]:
    from structlog.dev import ConsoleRenderer, plain_traceback  # noqa: PLC0415 - only people need it

    console = ConsoleRenderer(colors=colors, sort_keys=False, exception_formatter=plain_traceback)
    return lambda line: str(console(None, "", _escape_for_terminal(line)))


def _escape_for_terminal(line: dict[str, Any]) -> dict[str, Any]:
    """Give each value as text without control characters; the exception as indented lines."""
    exception = line.pop("exception", ())
    escaped: dict[str, Any] = {
        key: _printable(value if isinstance(value, str) else repr(value)) for key, value in line.items()
    }
    if exception:
        escaped["exception"] = "\n".join(
            text
            for link in exception
            for text in (
                _printable(f"  {link['type']}: {link['message']}"),
                *(_printable(f"    {frame}") for frame in link["frames"]),
            )
        )
    return escaped


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _rfc3339(epoch_seconds: float) -> str:
    milliseconds = int(epoch_seconds * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=8)
def _second(epoch_seconds: int) -> str:
    moment = datetime.fromtimestamp(epoch_seconds, tz=timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
