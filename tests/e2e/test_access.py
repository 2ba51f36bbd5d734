"""A service that asks for keys, which the command makes, or for tokens of a provider on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import openai
import pytest

from tests.identity_provider import AUDIENCE, ISSUER, IdentityProvider, rsa_key, token
from tests.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx


def _keys(*arguments: str, file: Path) -> str:
    """What ``agent-service keys`` prints."""
    command = [sys.executable, "-m", "agent_service", "keys", *arguments, "--file", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Guarded:
    """The service, its file of keys, and one key of each kind."""

    def __init__(self, folder: Path, provider: IdentityProvider) -> None:
        self.file = folder / "keys.json"
        self.any_user = _keys("create", "--name", "any", file=self.file)
        self.of_ada = _keys("create", "--name", "ada", "--user", "ada", file=self.file)
        self.operator = _keys(
            *("create", "--name", "op", "--scope", "metrics", "--scope", "admin"), file=self.file
        )
        self.settings = {
            "API_KEYS_FILE": str(self.file),
            "JWT_JWKS_URL": provider.url,
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
        }
        self.service = Service(folder, **self.settings)
        self.clients = ExitStack()

    def ask(self, key: str, user_id: str = "ada") -> httpx.Response:
        return self.service.ask("What is 2+2?", user_id=user_id, Authorization=f"Bearer {key}")

    def get(self, path: str, key: str) -> httpx.Response:
        return self.service.client.get(path, headers={"X-API-Key": key})

    def metric(self, sample: str) -> float:
        lines = self.get("/api/v1/metrics", self.operator).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))

    def logged(self, fact: str, value: str) -> None:
        """Wait for the line of a query with this fact."""
        wait_until(
            f"a query has {fact} {value}",
            lambda: any(line[fact] == value for line in self.service.log("query")),
        )

    def openai(self, key: str) -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{self.service.url()}/v1", api_key=key, max_retries=0)
        return self.clients.enter_context(client)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One process for all tests."""
    with ExitStack() as stack:
        provider = IdentityProvider()
        stack.callback(provider.close)
        guarded = Guarded(tmp_path_factory.mktemp("access"), provider)
        stack.callback(guarded.service.close)
        stack.callback(guarded.clients.close)
        yield guarded


def test_a_key_opens_what_its_scopes_name(guarded: Guarded) -> None:
    """Queries with one, metrics with another, probes with none; and the log names the key, not shows it."""
    answer = guarded.ask(guarded.any_user)

    assert answer.json()["answer"] == "4"
    assert guarded.service.ask("Hi").status_code == 401
    assert guarded.ask(guarded.any_user[:-1] + "x").status_code == 401
    assert guarded.ask(guarded.operator).status_code == 403
    assert guarded.get("/api/v1/metrics", guarded.any_user).status_code == 403
    assert guarded.get("/api/v1/metrics", guarded.operator).status_code == 200
    assert guarded.service.client.get("/api/v1/ready").status_code == 200
    guarded.logged("key_id", guarded.any_user.split("_")[1])
    assert guarded.any_user not in guarded.service.output
    assert "no key is asked for" not in guarded.service.output


def test_nothing_of_another_user_is_in_reach_of_a_bound_key(guarded: Guarded) -> None:
    """Neither by asking, nor history, sessions, erasing, or a stream that is picked up."""
    stream = guarded.service.client.post(
        "/api/v1/query/stream",
        json={"user_id": "grace", "question": "Mine?"},
        headers={"X-API-Key": guarded.any_user, "X-Request-ID": "graces"},
    )
    assert stream.status_code == 200

    assert guarded.ask(guarded.of_ada, "grace").status_code == 403
    for path in (
        "/api/v1/users/grace/history",
        "/api/v1/users/grace/sessions",
        "/api/v1/queries/graces/events?user_id=grace",
    ):
        assert guarded.get(path, guarded.of_ada).status_code == 403
        assert guarded.get(path, guarded.any_user).status_code == 200
    assert guarded.get("/api/v1/queries/graces/events?user_id=ada", guarded.of_ada).status_code == 404
    erased = guarded.service.client.delete(
        "/api/v1/users/grace/history", headers={"X-API-Key": guarded.of_ada}
    )
    assert erased.status_code == 403
    assert len(guarded.get("/api/v1/users/grace/history", guarded.any_user).json()["turns"]) == 1


def test_a_key_is_made_and_revoked_while_the_service_runs(guarded: Guarded) -> None:
    """Within seconds, without a restart."""
    late = _keys("create", "--name", "late", file=guarded.file)
    wait_until("the new key is known", lambda: guarded.ask(late).status_code == 200, seconds=10)

    _keys("revoke", late.split("_")[1], file=guarded.file)

    wait_until("it is no more", lambda: guarded.ask(late).status_code == 401, seconds=10)
    assert guarded.ask(guarded.any_user).status_code == 200


def test_a_wrong_file_leaves_the_keys_in_force(guarded: Guarded) -> None:
    """The log says what is wrong, and a metric for how long."""
    content = guarded.file.read_bytes()
    sample = 'agent_credentials_stale{source="keys"}'
    guarded.file.write_bytes(content[:-10])
    wait_until("it is told", lambda: guarded.metric(sample) == 1, seconds=10)

    assert guarded.ask(guarded.any_user).status_code == 200
    assert "is no file of API keys" in guarded.service.output

    guarded.file.write_bytes(content)
    wait_until("it is mended", lambda: guarded.metric(sample) == 0, seconds=10)


def test_a_token_of_the_provider_is_its_users_key(guarded: Guarded) -> None:
    """With the scopes it names; another user's history, another's signature and no scope are refused."""
    assert guarded.ask(token()).json()["answer"] == "4"
    assert guarded.get("/api/v1/users/ada/history", token()).status_code == 200
    assert guarded.get("/api/v1/users/grace/history", token()).status_code == 403
    assert guarded.ask(token(scope="openid")).status_code == 403
    forged = guarded.ask(token(rsa_key(), algorithm="RS256", kid="e1"))
    assert (forged.status_code, forged.json()["error"]) == (401, "unauthorized")
    guarded.logged("key_id", "jwt:ada")


def test_openai_clients_come_with_the_same_keys(guarded: Guarded) -> None:
    """A bound key needs no ``user``, keys that name nobody share nothing, the SDK knows the refusals."""
    other = _keys("create", "--name", "other", file=guarded.file)
    wait_until("the new key is known", lambda: guarded.ask(other).status_code == 200, seconds=10)
    first = guarded.openai(guarded.any_user).responses.create(model="default", input="What is 2+2?")

    with pytest.raises(openai.NotFoundError):
        guarded.openai(other).responses.create(
            model="default", input="And twice that?", previous_response_id=first.id
        )
    with pytest.raises(openai.PermissionDeniedError):
        guarded.openai(guarded.of_ada).responses.create(model="default", input="Hi", user="grace")
    with pytest.raises(openai.AuthenticationError):
        guarded.openai("any").models.list()
    own = guarded.openai(guarded.of_ada).responses.create(model="default", input="Whose?")
    guarded.logged("user_id", f"key:{other.split('_')[1]}")
    assert own.status == "completed"
    turns = guarded.get("/api/v1/users/ada/sessions", guarded.of_ada).json()["sessions"]
    assert any(session["session_id"].startswith("response-") for session in turns)


def test_a_wrong_file_stops_the_start(
    guarded: Guarded, serve: Callable[..., Service], tmp_path: Path
) -> None:
    """In a line that says what is wrong: without its keys a service would refuse everybody."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"version": 1, "keys": [{"id": "x"}]}))
    service = serve(API_KEYS_FILE=str(path))

    assert service.status() == 1
    assert f"{path} is no file of API keys: keys.0.id: " in service.output
