"""What stands on the stage of a load test: the simulated model, the service, what it is compared with."""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent_service.loadtest.client import Endpoint
from agent_service.loadtest.stage.model import SimulatedModel
from agent_service.loadtest.stage.process import ServerProcess, allow_many_connections, on_cores
from agent_service.loadtest.stage.server import Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

SERVICE = "service"
_SIMULATED = "openai/gpt-4o-mini"
"""A name that DSPy knows; with an unknown one it searches its catalogue at each call, and seems slower."""


@dataclass(frozen=True, slots=True)
class StageOptions:
    """What to start.

    Attributes:
        url: a service that runs already; None starts one.
        key: an API key for the service.
        model: a real language model; None simulates one.
        program: what is served; None leaves it to the settings.
        question: what is asked; ``{n}`` stands for the number of the query.
        trust: who may vouch for a service behind https; None trusts the system's authorities.
        latency_seconds: of each call of the simulated model.
        simulators: processes of the simulated model.
        pin: whether each server is held on one core and all else kept off it.
        baselines: modules of ``loadtest.baselines``, which are started too.
    """

    url: str | None = None
    key: str | None = None
    model: str | None = None
    program: str | None = None
    question: str = "What is {n} * 17?"
    latency_seconds: float = 0.0
    simulators: int = 1
    pin: bool = False
    baselines: tuple[str, ...] = ()
    trust: ssl.SSLContext | None = None


class Stage:
    """Starts what the options say and stops it. A context manager; entering waits until all listen.

    The service takes the settings of this process and of its ``.env``, except where it listens, its model
    when that is simulated, and its SQLite file, which is a temporary one.

    Raises:
        StageError: on entering, when something does not start.
    """

    def __init__(self, options: StageOptions) -> None:
        self.servers: tuple[Server, ...] = ()
        self.model: SimulatedModel | None = None
        self._options = options
        self._stack = ExitStack()
        cores = sorted(os.sched_getaffinity(0)) if options.pin else []
        self._server_cores, self._other_cores = cores[:1], cores[1:]

    def __repr__(self) -> str:
        return f"<Stage of {self.servers!r}>"

    def __enter__(self) -> Self:
        with self._stack:
            self._set()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _set(self) -> None:
        options = self._options
        allow_many_connections()
        if options.url is not None:
            self.servers = (self._service(options.url, None),)
            return
        self._stack.enter_context(on_cores(self._other_cores))
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="agent-service-bench-")))
        if options.model is None:
            self.model = SimulatedModel(
                processes=options.simulators,
                latency_seconds=options.latency_seconds,
            )
            self._stack.callback(self.model.close)
        environ = {**os.environ, **self._settings(folder)}
        service = self._start(SERVICE, ["-m", "agent_service", "serve"], environ, folder)
        baselines = {name: self._start(name, _uvicorn(name), environ, folder) for name in options.baselines}
        self.servers = (
            self._service(service.url(), service),
            *(self._baseline(name, process) for name, process in baselines.items()),
        )

    def _start(
        self, name: str, arguments: list[str], environ: Mapping[str, str], folder: Path
    ) -> ServerProcess:
        command = [sys.executable, *arguments]
        process = ServerProcess(name, command, environ=environ, folder=folder, cores=self._server_cores)
        self._stack.callback(process.close)
        return process

    def _settings(self, folder: Path) -> dict[str, str]:
        settings = {
            "SERVER_HOST": "127.0.0.1",
            "SERVER_PORT": "0",
            "MEMORY_PATH": str(folder / "conversations.db"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        }
        if self._options.program is not None:
            settings["AGENT_PROGRAM"] = self._options.program
        if self._options.model is not None:
            settings["AGENT_MODEL"] = self._options.model
        elif self.model is not None:
            settings |= {
                "AGENT_MODEL": _SIMULATED,
                "AGENT_API_BASE": self.model.base_url,
                "AGENT_API_KEY": "simulated",
            }
        return settings

    def _service(self, url: str, process: ServerProcess | None) -> Server:
        run, question, key = uuid.uuid4().hex[:8], self._options.question, self._options.key

        def body(number: int) -> dict[str, str]:
            return {"user_id": f"bench-{run}-{number}", "question": question.replace("{n}", str(number))}

        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        endpoint = Endpoint(f"{url.rstrip('/')}/api/v1/query", body, headers, self._options.trust)
        return Server(SERVICE, endpoint, process)

    def _baseline(self, name: str, process: ServerProcess) -> Server:
        question = self._options.question

        def body(number: int) -> dict[str, str]:
            return {"text": question.replace("{n}", str(number))}

        return Server(name, Endpoint(f"{process.url()}/predict", body), process)


def _uvicorn(name: str) -> list[str]:
    app = f"agent_service.loadtest.baselines.{name}:app"
    return ["-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "0"]
