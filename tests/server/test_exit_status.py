from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_service.core.errors import MisconfiguredError
from agent_service.server.exit_status import status_of

if TYPE_CHECKING:
    import pytest


def test_work_that_is_done_is_status_0() -> None:
    """A stop that was asked for is no failure."""
    assert status_of(lambda: None) == 0


def test_our_own_errors_are_one_line_with_their_causes(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever starts the service reads what to mend, without a traceback."""

    def fail() -> None:
        raise MisconfiguredError("A part cannot be opened.") from MisconfiguredError("/data is damaged.")

    assert status_of(fail) == 1
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.CRITICAL,
        "A part cannot be opened. /data is damaged.",
    )
    assert record.exc_info is None


def test_other_errors_are_logged_with_their_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A bug is for whoever mends it."""

    def fail() -> None:
        raise RuntimeError("a bug")

    assert status_of(fail) == 1
    assert caplog.records[0].exc_info is not None
