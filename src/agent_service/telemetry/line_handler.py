"""Lines on their way to a stream: those of one turn of the event loop are written together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


class LineHandler(logging.Handler):
    """Writes lines to a stream in their order, with one flush for those of a turn of the event loop.

    A line of an error, or from where no event loop runs, is written at once, and so are those before it.
    The interpreter's end flushes what is left (``logging.shutdown``).

    Args:
        stream: gets the lines.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []

    def __repr__(self) -> str:
        return f"<LineHandler {len(self._lines)} waiting>"

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line, soon."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)
            return
        loop = None if record.levelno >= logging.ERROR else _running_loop()
        if loop is None:
            self._write(record)
        elif len(self._lines) == 1:
            loop.call_soon(self._write, record)

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("\n".join([*lines, ""]))
            self._stream.flush()
        finally:
            self.release()

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self.flush()
        except Exception:  # noqa: BLE001 - the same
            self.handleError(record)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
