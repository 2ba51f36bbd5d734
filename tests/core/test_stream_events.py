from __future__ import annotations

import pytest

from agent_service.core.stream_events import StreamEvent


@pytest.mark.parametrize(("kind", "is_last"), [("answer", True), ("error", True), ("answer.delta", False)])
def test_a_stream_ends_with_one_of_two_kinds(kind: str, is_last: bool) -> None:
    """Readers stop there, and a log knows that nothing more comes."""
    assert StreamEvent(1, kind, "{}").is_last is is_last
