from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest

from agent_service.telemetry.logs import LogOptions, configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def log_to() -> Iterator[Callable[..., io.StringIO]]:
    """Configures logging to a string, with options by keyword; afterwards everything is as before."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    before = [(one, one.level, list(one.handlers), one.propagate) for one in loggers]

    def log_to(**options: object) -> io.StringIO:
        stream = io.StringIO()
        configure_logging(LogOptions(**options), stream=stream)  # type: ignore[arg-type] # what a test gives
        return stream

    yield log_to
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).setLevel(logging.NOTSET)
    for one, level, handlers, propagate in before:
        one.setLevel(level)
        one.handlers[:] = handlers
        one.propagate = propagate
