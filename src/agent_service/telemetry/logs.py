"""One line for each thing worth telling: JSON for machines, coloured text for a terminal.

Everything that logs through the standard library ends here, whoever wrote it. A line has ``timestamp``
(RFC 3339, UTC, milliseconds), ``level``, ``logger``, ``event``, ``request_id`` when a request is the cause,
and what else its author gave. No value can forge a line: JSON escapes control characters, and so do we
for the terminal.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from agent_service.core.context import REQUEST_ID
from agent_service.telemetry.redaction import (
    MODEL_LIBRARIES,
    described,
    fixed_part,
    redacted,
    speaks_with_model,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from structlog.typing import Processor

FORMATS = ("json", "pretty")
LEVELS = ("debug", "info", "warning", "error", "critical")

_CHATTY = (*MODEL_LIBRARIES, "httpx", "httpcore", "urllib3", "asyncio")
_COPIES = ("message", "asctime", "color_message")
"""What other formatters, and uvicorn, leave behind on a record: the message once more."""

_add_extra = ExtraAdder()
_SELF_MADE = (*MODEL_LIBRARIES, "uvicorn", "uvicorn.error", "uvicorn.access")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How to write, and what is worth writing.

    Attributes:
        format: ``json`` or ``pretty``.
        levels: lowest level by logger; the empty name is all others.
    """

    format: str = "json"
    levels: Mapping[str, str] = field(default_factory=lambda: {"": "info"})

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
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(options.format, colors=out.isatty()))
    logging.getLogger().handlers[:] = [handler]
    for name in _SELF_MADE:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    levels = {"": "info"} | dict.fromkeys(_CHATTY, "warning") | dict(options.levels)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level.upper())


def _formatter(log_format: str, *, colors: bool) -> ProcessorFormatter:
    last: tuple[Processor, ...] = (JSONRenderer(),)
    if log_format == "pretty":
        last = (
            _escape_for_terminal,
            ConsoleRenderer(colors=colors, sort_keys=False, exception_formatter=plain_traceback),
        )
    return ProcessorFormatter(processors=[_withhold, _arrange, _redact, *last], pass_foreign_args=True)


def _withhold(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what the author gave; of the libraries between users and models, keep the fixed part only."""
    record: logging.LogRecord = line["_record"]
    arguments = line.pop("positional_args", None)
    if speaks_with_model(record.name):
        line["event"] = fixed_part(record, has_arguments=bool(arguments))
    else:
        _add_extra(_logger, _method, line)
    return line


def _arrange(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put the constant part first, the exception last, and leave out what only renderers used."""
    record: logging.LogRecord = line.pop("_record")
    del line["_from_structlog"]
    for copy in _COPIES:
        line.pop(copy, None)
    exc_info = line.pop("exc_info", None)
    arranged = {
        "timestamp": _rfc3339(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": line.pop("event"),
    }
    request_id = line.pop("request_id", "") or REQUEST_ID.get()
    if request_id:
        arranged["request_id"] = request_id
    arranged.update(line)
    if exc_info and exc_info[1] is not None:
        arranged["exception"] = described(exc_info[1])
    return arranged


def _redact(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    safe: dict[str, Any] = redacted(dict(line))
    return safe


def _escape_for_terminal(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
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
    moment = datetime.fromtimestamp(epoch_seconds, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
