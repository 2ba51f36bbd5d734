"""One end of a socket pair between supervisor and worker: whole JSON objects, one a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

Message = dict[str, Any]

MAX_UNSENT_BYTES = 16_000_000
"""Far more than is ever under way to somebody who reads."""

_READ_BYTES = 262_144


class ChannelFullError(Exception):
    """The other side has not read for long."""


class Channel:
    """Sends and receives without ever waiting.

    Attributes:
        is_open: whether the other side was there when last heard of.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.is_open = True
        self._end = end
        self._unsent = bytearray()
        self._unread = bytearray()

    def __repr__(self) -> str:
        return f"<Channel {'open' if self.is_open else 'closed'}, {len(self._unsent)} bytes unsent>"

    @property
    def has_unsent(self) -> bool:
        """Whether ``flush`` has something to do."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """For selectors."""
        return self._end.fileno()

    def send(self, message: Message) -> None:
        """Send as much as goes at once; ``flush`` sends the rest. Nothing is sent to who has gone.

        Raises:
            ChannelFullError: the other side does not read.
        """
        if not self.is_open:
            return
        if len(self._unsent) > MAX_UNSENT_BYTES:
            raise ChannelFullError
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what goes now."""
        try:
            while self._unsent:
                del self._unsent[: self._end.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._gone()

    def receive(self) -> list[Message]:
        """Whatever came since the last call, in order. ``is_open`` is False when nothing more will come."""
        try:
            while data := self._end.recv(_READ_BYTES):
                self._unread += data
            self._gone()
        except BlockingIOError:
            pass
        except OSError:
            self._gone()
        *lines, rest = bytes(self._unread).split(b"\n")
        self._unread[:] = rest
        return [json.loads(line) for line in lines]

    def close(self, *, linger_seconds: float = 0.0) -> None:
        """Hang up; with ``linger_seconds``, wait so long for the rest to be taken."""
        if self._unsent and linger_seconds:
            self._end.settimeout(linger_seconds)
            self.flush()
        self._gone()
        self._end.close()

    def _gone(self) -> None:
        self.is_open = False
        self._unsent.clear()
