from __future__ import annotations

import psutil
import pytest

from agent_service.loadtest.stage.process import StageError
from agent_service.loadtest.stage.stage import Stage, StageOptions


def test_a_service_that_runs_already_is_only_addressed() -> None:
    """Nothing is started; its key goes with each query."""
    before = psutil.Process().children()
    with Stage(StageOptions(url="http://host:3000/", key="k")) as stage:
        (server,) = stage.servers
        assert stage.model is None
        assert psutil.Process().children() == before
    assert server.endpoint.url == "http://host:3000/api/v1/query"
    assert server.endpoint.headers == {"authorization": "Bearer k"}
    assert server.usage() is None


def test_each_query_is_of_a_user_of_its_own_in_each_run() -> None:
    """No conversation grows, and no run meets the conversations of one before."""
    bodies = []
    for _ in range(2):
        with Stage(StageOptions(url="http://host", question="{n} + 1?")) as stage:
            bodies += [stage.servers[0].endpoint.body(number) for number in (1, 2)]
    assert len({body["user_id"] for body in bodies}) == 4
    assert [body["question"] for body in bodies] == ["1 + 1?", "2 + 1?"] * 2


def test_what_was_started_is_stopped_when_another_does_not_start() -> None:
    """A wrong program leaves no process behind."""
    before = psutil.Process().children()
    with pytest.raises(StageError, match="service did not start: no_such_module cannot be imported"):
        Stage(StageOptions(program="no_such_module:x")).__enter__()
    assert psutil.Process().children() == before
