from __future__ import annotations

import pytest

from agent_service.config.values import log_levels


def test_levels_are_by_logger_and_the_last_one_wins() -> None:
    """One level for all, others by the logger's name, blanks around commas."""
    assert log_levels("info, a.b=debug,warning") == {"": "warning", "a.b": "debug"}


@pytest.mark.parametrize("spec", ["", "loud", "info,", "=debug", "a=", "a=b=debug", "a b=debug"])
def test_what_is_no_level_is_refused(spec: str) -> None:
    """A level that is misspelt would silently be another one."""
    with pytest.raises(ValueError, match="no level"):
        log_levels(spec)
