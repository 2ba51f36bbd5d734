"""The service by HTTPS: queries, streams, workers, clients with certificates, and its own command line."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults.certificates import VALID, Authority, Leaf
from tests.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEADY = {"AGENT_PROGRAM": "steady_program:Steady"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Trusted by the clients, and by services that ask for certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Leaf:
    """Of the services."""
    return authority.leaf("service", VALID)


def _tls(leaf: Leaf) -> dict[str, str]:
    return {"SERVER_TLS_CERT_FILE": str(leaf.certificate), "SERVER_TLS_KEY_FILE": str(leaf.key)}


def _trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.certificate)


@pytest.fixture(scope="module")
def service(authority: Authority, pair: Leaf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that is not stopped."""
    running = Service(tmp_path_factory.mktemp("service"), **_tls(pair), **STEADY)
    running.trust = _trust(authority)
    yield running
    running.close()


def test_queries_and_streams_are_answered(service: Service) -> None:
    """The start says where, and every way to ask works."""
    assert service.url().startswith("https://127.0.0.1:")
    assert service.ask("Hi").json()["answer"] == "Hi"
    query = {"user_id": "ada", "question": "Hi"}
    with service.client.stream("POST", "/api/v1/query/stream", json=query) as response:
        kinds = [line for line in response.iter_lines() if line.startswith("event: ")]
    assert kinds[-1] == "event: answer"


def test_a_caller_who_hangs_up_stops_the_run(service: Service) -> None:
    """As without TLS."""
    with pytest.raises(httpx.ReadTimeout):
        service.client.post("/api/v1/query", json={"user_id": "ada", "question": "wait 30"}, timeout=0.5)
    wait_until("the slot is free", lambda: service.metric("agent_pool_in_use") == 0, seconds=2)


@pytest.mark.parametrize(("arguments", "status"), [((), 1), (("--ca-file",), 0)])
def test_the_chat_trusts_who_is_named(
    service: Service, authority: Authority, arguments: tuple[str, ...], status: int
) -> None:
    """An authority that the system does not know is given by a file; nobody else is trusted."""
    given = [*arguments, str(authority.certificate)] if arguments else []
    command = [sys.executable, "-m", "agent_service", "chat", "--url", service.url(), *given, "--quiet", "Hi"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    said = "Hi" if status == 0 else "The certificate of the service is not trusted"
    assert said in done.stdout + done.stderr


def test_the_bench_trusts_who_is_named(service: Service, authority: Authority) -> None:
    """The same for measuring."""
    command = [sys.executable, "-m", "agent_service", "bench", "--url", service.url(), "--queries", "3"]
    trusting = ["--ca-file", str(authority.certificate), "--warm-up", "0", "--concurrency", "1"]
    done = subprocess.run([*command, *trusting], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_workers_serve_and_drain(serve: Callable[..., Service], authority: Authority, pair: Leaf) -> None:
    """Each worker shows the certificate; a stop answers what is in flight."""
    service = serve(**_tls(pair), **STEADY, SERVER_WORKERS="2")
    service.trust = _trust(authority)
    wait_until("both serve", lambda: service.metric("agent_workers") == 2)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(service.ask("wait 1")))
    asking.start()
    with httpx.Client(base_url=service.url(), verify=service.trust) as other:
        wait_until(
            "it runs", lambda: "\nagent_pool_in_use 1.0" in other.get("/api/v1/metrics").text, seconds=5
        )
    service.signal(signal.SIGTERM)
    assert service.status() == 0
    asking.join(timeout=10)
    assert answers[0].status_code == 200


def test_only_clients_with_a_certificate_are_answered(
    serve: Callable[..., Service], authority: Authority, pair: Leaf
) -> None:
    """Mutual TLS: who shows none gets no answer, to a probe either."""
    service = serve(**_tls(pair), SERVER_TLS_CLIENT_CA_FILE=str(authority.certificate))
    url = f"{service.url()}/api/v1/live"
    with pytest.raises(httpx.TransportError):
        httpx.get(url, verify=_trust(authority))
    shown, trust = authority.leaf("client", VALID), _trust(authority)
    trust.load_cert_chain(shown.certificate, shown.key)
    assert httpx.get(url, verify=trust).status_code == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_files_that_do_not_fit_stop_the_start(
    serve: Callable[..., Service], authority: Authority, pair: Leaf, workers: str
) -> None:
    """In one line, before anything is served."""
    name = f"other-{workers}"
    other = Leaf(pair.certificate, authority.leaf(name, VALID).key)
    service = serve(**_tls(other), SERVER_WORKERS=workers)
    assert service.status() == 1
    assert service.output.count("SERVER_TLS_KEY_FILE is not the key of SERVER_TLS_CERT_FILE") == 1
    assert "Traceback" not in service.output
