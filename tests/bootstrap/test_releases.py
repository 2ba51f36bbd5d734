"""Programs are served in the versions that stand on the shelf, where there is one."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import dspy
import pytest

from agent_service.bootstrap.releases import Served, build_served
from agent_service.config import Settings
from agent_service.core.clock import SystemClock
from agent_service.core.messages import ConversationId, Query
from agent_service.core.observer import Observers, ReleaseRefused
from agent_service.releases.folder import FolderShelf
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = """
import dspy
class Plain(dspy.Module):
    is_broken = False
    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")
    def forward(self, question):
        return self.predict(question=question)
    def __deepcopy__(self, memo):
        raise CopyError
    def deepcopy(self):
        if self.is_broken:
            raise CopyError("no more")
        copy = Plain()
        copy.predict = self.predict.deepcopy()
        return copy
class CopyError(Exception): ...
program = Plain()
"""
QUERY = Query("r", ConversationId("ada"), "?")


def _state(*fields: str) -> bytes:
    module = dspy.Module()
    module.predict = dspy.Predict(f"{', '.join(fields)} -> answer")
    return json.dumps({**module.dump_state(), "metadata": {}}).encode()


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Served]:
    """Wires a program, with these settings."""
    (tmp_path / "released_program.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def built(*observers: RecordingObserver, **environ: str) -> Served:
        settings = Settings.load(
            {"AGENT_PROGRAM": "released_program:program", **environ}, dotenv_path=Path("/nowhere/.env")
        )
        return build_served(settings, clock=SystemClock(), observers=Observers(*observers))

    return built


async def test_without_a_shelf_a_program_answers_itself(build: Callable[..., Served]) -> None:
    """Nothing looks for anything."""
    served = build()
    async with served.closing():
        assert served.background == []
        assert served.release_operator is None
        assert served.programs.answering(QUERY) is served.programs.default


async def test_what_stands_on_the_shelf_answers(build: Callable[..., Served], tmp_path: Path) -> None:
    """From the start; it is looked at while the service runs, and how queries end is heard."""
    shelf = FolderShelf(tmp_path / "shelf", clock=SystemClock())
    release = await shelf.add("program", _state("question"))
    await shelf.change("program", lambda standing: standing.activated(release.version))

    served = build(AGENT_RELEASES_PATH=str(tmp_path / "shelf"))
    async with served.closing():
        await served.programs.start()
        assert served.programs.answering(QUERY).spec.version == release.version
        assert len(served.background) == 1
        assert served.release_operator is not None
        await served.programs.close()


@pytest.mark.parametrize(
    ("fields", "is_broken", "says"),
    [
        (["question", "context"], False, "has other fields than the program"),
        (["question"], True, "CopyError: no more"),
    ],
)
async def test_what_cannot_be_made_is_refused(
    build: Callable[..., Served],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fields: list[str],
    is_broken: bool,
    says: str,
) -> None:
    """Whatever the program has against it: it is no error of the shelf's, which would be tried again."""
    shelf = FolderShelf(tmp_path / "shelf", clock=SystemClock())
    release = await shelf.add("program", _state(*fields))
    await shelf.change("program", lambda standing: standing.activated(release.version))

    heard = RecordingObserver()
    served = build(heard, AGENT_RELEASES_PATH=str(tmp_path / "shelf"))
    monkeypatch.setattr(importlib.import_module("released_program").Plain, "is_broken", is_broken)
    await served.programs.start()
    assert served.programs.answering(QUERY) is served.programs.default
    assert says in caplog.text
    assert heard.of(ReleaseRefused) == [ReleaseRefused("", "program", release.version)]
    await served.programs.close()
