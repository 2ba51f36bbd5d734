"""What a row needs, each on cores of its own: the service, the baselines, a language model's stub, Redis."""

from __future__ import annotations

import contextlib
import resource
import time
import urllib.request
from typing import TYPE_CHECKING

import orjson

from bench.goals.stage.cores import pinned
from bench.goals.stage.lm_stub import MODEL
from bench.goals.stage.server import Server
from bench.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from bench.goals.stage.cores import Cores

_FILES = 16_384


class Stage:
    """Starts what a row needs and ends all of it: use it as a context."""

    def __init__(self, folder: Path, cores: Cores) -> None:
        self.cores = cores
        self._folder = folder
        self._stack = contextlib.ExitStack()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __repr__(self) -> str:
        return f"<Stage in {self._folder} on {self.cores}>"

    def lm(self, latency_seconds: float = 0.0) -> Server:
        """A stub of a language model."""
        lm = self._start("lm", ("-m", "bench.goals.stage.lm_stub"), {}, self.cores.lm)
        set_latency(lm, latency_seconds)
        return lm

    def service(
        self, lm: Server, settings: Mapping[str, str] | None = None, *, cores: Sequence[int] = ()
    ) -> Server:
        """The service, with its memory in SQLite unless ``settings`` say otherwise."""
        environ = {**service_settings(lm), **(settings or {})}
        return self._start("service", ("-m", "agent_service", "serve"), environ, cores or self.cores.served())

    def in_process(self, lm: Server, clients: int, seconds: float) -> dict[str, float]:
        """What the service's program costs without the service; see ``in_process``."""
        arguments = ("-m", "bench.goals.stage.in_process", str(clients), str(seconds))
        process = self._start("in_process", arguments, service_settings(lm), self.cores.served())
        found: dict[str, float] = orjson.loads(process.output())
        return found

    def import_seconds(self, module: str) -> float:
        """How long a fresh interpreter takes to import a module and end, on whatever cores are free."""
        began = time.perf_counter()
        self._start("import", ("-c", f"import {module}"), {}, self.cores.all).output()
        return time.perf_counter() - began

    def folder(self, name: str) -> Path:
        """A new one, which goes when the stage does."""
        folder = self._folder / f"{name}-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        return folder

    def baseline(self, style: str, lm: Server) -> Server:
        """FastAPI and stock DSPy, in one of ``baseline``'s styles."""
        arguments = ("-m", "bench.goals.stage.baseline", style, lm.url())
        return self._start(style, arguments, {}, self.cores.served())

    def redis(self) -> RedisServer:
        """A Redis."""
        with pinned(self.cores.redis):
            server = RedisServer(self.folder("redis"))
        self._stack.callback(server.kill)
        return server

    def _start(
        self, name: str, arguments: Sequence[str], environ: dict[str, str], cores: Sequence[int]
    ) -> Server:
        server = Server(name, arguments, environ=environ, folder=self.folder(name), cores=cores)
        self._stack.callback(server.close)
        return server


def service_settings(lm: Server) -> dict[str, str]:
    """The service's settings in every row; what a row adds, it names."""
    return {
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": "0",
        "LOG_FORMAT": "json",
        "AGENT_MODEL": f"openai/{MODEL}",
        "AGENT_API_BASE": f"{lm.url()}/v1",
        "AGENT_API_KEY": "sk-any",
        "MEMORY_PATH": "conversations.db",
    }


def set_latency(lm: Server, seconds: float) -> None:
    """From the next call on, the stub takes so long."""
    request = urllib.request.Request(f"{lm.url()}/{seconds}", method="PUT")  # noqa: S310 - http://127.0.0.1
    with urllib.request.urlopen(request):  # noqa: S310 - the same
        pass


def steps_since(lm: Server) -> dict[str, int]:
    """How often the stub gave each of its replies since it was last asked."""
    with urllib.request.urlopen(lm.url()) as response:  # noqa: S310 - http://127.0.0.1
        steps: dict[str, int] = orjson.loads(response.read())
    return steps
