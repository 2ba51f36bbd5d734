"""Releases in one process, under load: made active, tried out, taken back, and no query lost by it."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import dspy
import httpx
import pytest

from agent_service.core.clock import SystemClock
from agent_service.releases.folder import FolderShelf
from agent_service.releases.standing import Standing
from tests.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typing_extensions import Self

PROGRAM = "versioned"
USERS = [f"user-{number}" for number in range(12)]


class Scene:
    """The service, and the shelf that it follows, as another process sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shelf = FolderShelf(folder / "shelf", clock=SystemClock())
        self.service = Service(
            folder,
            AGENT_PROGRAM=f"{PROGRAM}=versioned_program:versioned",
            AGENT_RELEASES_PATH=str(folder / "shelf"),
            RELEASE_POLL_SECS="0.1",
            AGENT_POOL_SIZE="16",
        )

    def add(self, instructions: str, signature: str = "question -> answer") -> str:
        """A release that tells the program something; its version."""
        module = dspy.Module()
        module.predict = dspy.Predict(dspy.Signature(signature, instructions))
        path = self._folder / "state.json"
        module.save(str(path))
        return asyncio.run(self._shelf.add(PROGRAM, path.read_bytes())).version

    def change(self, change: Callable[[Standing], Standing]) -> None:
        """Change how the releases stand."""
        asyncio.run(self._shelf.change(PROGRAM, change))

    def standing(self) -> Standing:
        """How they stand."""
        return asyncio.run(self._shelf.standing(PROGRAM))

    def activate(self, version: str) -> None:
        """Make a version active, and wait until it answers."""
        self.change(lambda standing: standing.activated(version))
        wait_until("it answers", lambda: self.version() == version)

    def version(self, user_id: str = "ada") -> str:
        """Which version answers a user."""
        found: str = self.service.ask("?", user_id=user_id).json()["program_version"]
        return found


class Load:
    """Clients that ask one after the other for as long as it lasts; ``answers`` are theirs, by user."""

    def __init__(self, url: str) -> None:
        self.answers: dict[str, list[httpx.Response]] = defaultdict(list)
        self._url = url
        self._stop = threading.Event()
        shares = [USERS[number::4] for number in range(4)]
        self._threads = [threading.Thread(target=self._ask, args=(users,)) for users in shares]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __len__(self) -> int:
        return sum(map(len, self.answers.values()))

    def goes_on(self) -> None:
        """Return when some hundred more are answered."""
        until = len(self) + 200
        wait_until("queries are answered", lambda: len(self) > until, seconds=30)

    def _ask(self, users: list[str]) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for user in itertools.cycle(users):
                if self._stop.is_set():
                    return
                body = {"user_id": user, "question": "?"}
                self.answers[user].append(client.post("/api/v1/query", json=body))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One process for all tests, which starts without a release."""
    scene = Scene(tmp_path_factory.mktemp("releases"))
    yield scene
    scene.service.close()


def versions(answers: list[httpx.Response]) -> list[str]:
    """Which versions answered, each time that it was another than before."""
    return [
        version for version, _ in itertools.groupby(answer.json()["program_version"] for answer in answers)
    ]


def test_versions_are_swapped_under_load_and_no_query_fails(scene: Scene) -> None:
    """Each user goes from one to the next and never back, and says what the named version says."""
    one, two = scene.add("One."), scene.add("Two.")
    assert scene.version() == "base"

    with Load(scene.service.url()) as load:
        for version in (one, two):
            scene.activate(version)
            load.goes_on()

    answers = list(itertools.chain.from_iterable(load.answers.values()))
    said = {one: "One.", two: "Two.", "base": "As it is in the code."}
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json()["answer"] == said[answer.json()["program_version"]] for answer in answers)
    for user in USERS:
        assert versions(load.answers[user])[-2:] == [one, two]
    assert scene.service.metric(f'agent_program_version_share{{program="{PROGRAM}",version="{two}"}}') == 1
    scene.change(lambda _: Standing())
    wait_until("base answers", lambda: scene.version() == "base")


def test_a_canary_answers_its_conversations_and_no_others(scene: Scene) -> None:
    """Half of them, each the same version at each turn."""
    canary = scene.add("Canary.")
    with Load(scene.service.url()) as load:
        scene.change(lambda standing: standing.trying(canary, 50))
        wait_until("it answers", lambda: canary in {scene.version(user) for user in USERS})
        load.goes_on()  # what was asked before is answered
        load.answers.clear()
        load.goes_on()
    expected = {user: Standing().trying(canary, 50).version_for(user, "default") for user in USERS}

    assert {user: versions(load.answers[user]) for user in USERS} == {
        user: [version] for user, version in expected.items()
    }
    assert set(expected.values()) == {"base", canary}
    scene.change(Standing.rolled_back)
    wait_until("base answers", lambda: {scene.version(user) for user in USERS} == {"base"})


def test_a_bad_version_is_taken_back_by_itself(scene: Scene) -> None:
    """The only queries that fail are its own; then it answers nobody, here and on the shelf."""
    bad = scene.add("Please fail.")
    with Load(scene.service.url()) as load:
        scene.change(lambda standing: standing.trying(bad, 50))
        wait_until("it is taken back", lambda: scene.standing() == Standing(), seconds=30)
        load.goes_on()
        load.answers.clear()
        load.goes_on()
    lost = [line for line in scene.service.log("query") if line["outcome"] == "failure"]

    assert {answer.status_code for answers in load.answers.values() for answer in answers} == {200}
    assert len(lost) >= 20
    assert {(line["code"], line["program_version"]) for line in lost} == {("internal_error", bad)}
    assert f"version {bad} fails more often and was taken back, base answers" in scene.service.output
    assert scene.service.metric(f'agent_release_rollbacks_total{{program="{PROGRAM}"}}') == 1
    failed = f'{{outcome="failure",program="{PROGRAM}",version="{bad}"}}'
    assert scene.service.metric(f"agent_program_queries_total{failed}") == len(lost)


def test_a_state_that_does_not_fit_is_refused(scene: Scene) -> None:
    """What answers goes on; the log says why, once."""
    unfit = scene.add("Other fields.", "question, context -> answer")
    scene.change(lambda standing: standing.activated(unfit))
    refusals = f'agent_release_refusals_total{{program="{PROGRAM}"}}'
    wait_until("it is refused", lambda: scene.service.metric(refusals) == 1)

    assert scene.version() == "base"
    assert scene.service.output.count(f"version {unfit} cannot be served") == 1
    assert "has other fields than the program" in scene.service.output
    scene.change(lambda _: Standing())


def test_the_version_stands_in_every_kind_of_answer(scene: Scene) -> None:
    """By fields, in events, in OpenAI's words; an answer that is repeated names the version that gave it."""
    client, body = scene.service.client, {"user_id": "ada", "question": "?"}
    first = scene.service.ask("?", Idempotency_Key="k1").json()
    version = scene.add("Another.")
    scene.activate(version)

    again = scene.service.ask("?", Idempotency_Key="k1").json()
    inputs = {"user_id": "ada", "inputs": {"question": "?"}}
    typed = client.post(f"/api/v1/programs/{PROGRAM}/query", json=inputs).json()
    streamed = client.post("/api/v1/query/stream", json=body).text
    asked: dict[str, Any] = {"model": PROGRAM, "messages": [{"role": "user", "content": "?"}]}
    completion = client.post("/v1/chat/completions", json=asked).json()
    chunks = client.post("/v1/chat/completions", json={**asked, "stream": True}).text

    assert (first["program_version"], again["program_version"]) == ("base", "base")
    assert typed["program_version"] == version
    assert json.loads(streamed.split("data: ")[-1])["program_version"] == version
    assert completion["system_fingerprint"] == version
    assert f'"system_fingerprint":"{version}"' in chunks
