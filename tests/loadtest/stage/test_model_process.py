from __future__ import annotations

from typing import Any

from agent_service.loadtest.stage.model_process import Counted


async def test_each_request_is_counted_and_passed_on() -> None:
    """The count says whether all who are compared asked the model as often."""
    passed: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def nothing(*_: Any) -> Any:
        """Not called."""

    counted = Counted(app)
    for number in range(3):
        await counted({"n": number}, nothing, nothing)
    assert counted.count == 3
    assert passed == [{"n": 0}, {"n": 1}, {"n": 2}]
