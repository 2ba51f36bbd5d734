"""What surrounds a piece of work without being passed to it: follows tasks and threads started from it."""

from __future__ import annotations

from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Identity of the request that the current task serves; empty outside of one. Logs carry it on each line."""
