"""What a server's process writes to its standard error: into the log at debug, its last words kept."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = logging.getLogger(__name__)

_MAX_LINE_CHARS = 500
_MAX_LINES = 1000
"""Of one process; what it writes more is read and dropped."""
_KEPT_LINES = 3


class ErrorLines(asyncio.Protocol):
    """Reads the lines of one process of the server ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = b""
        self._count = 0
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def last_words(self) -> str:
        """The last lines, in one."""
        return " / ".join((*self._last, *filter(None, [_shown(self._begun)])))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[TextIO]:
        """Within, what is written to the file that is given is read; a process may inherit it."""
        reading, writing = os.pipe()
        read_end, write_end = os.fdopen(reading, "rb"), os.fdopen(writing, "w")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, read_end)
        try:
            with write_end:
                yield write_end
        finally:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what came; a line without end is not kept whole."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        self._begun = self._begun[:_MAX_LINE_CHARS]
        for line in filter(None, map(_shown, lines)):
            self._last.append(line)
            self._count += 1
            if self._count <= _MAX_LINES:
                _log.debug("MCP server %s: %s", self._name, line)


def _shown(line: bytes) -> str:
    return line[:_MAX_LINE_CHARS].decode(errors="replace").strip()
