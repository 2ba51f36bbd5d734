"""What the runtime knows of a program: its fields, its model, and how to run it once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agent_service.core.messages import BASE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_service.core.errors import ServiceError
    from agent_service.core.messages import Turn
    from agent_service.core.run import Run


class Interface(Protocol):
    """A program's inputs and outputs as JSON.

    Attributes:
        input_schema: JSON Schema (2020-12) of the object of inputs.
        output_schema: that of the object of outputs.
    """

    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]

    def read(self, inputs: object) -> Mapping[str, Any]:
        """The inputs as the program takes them, those that were left out missing.

        Raises:
            InvalidRequestError: naming each that is wrong as ``inputs.<name>``.
        """

    def written(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs as JSON values.

        Raises:
            TypeError: one has no form as JSON.
        """


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """What a program takes and gives.

    Attributes:
        name: how callers and metrics call it.
        model: the language model it is served with.
        inputs: names of its input fields, the conversation's field left out.
        outputs: names of its output fields.
        interface: both as JSON.
        question_input: the input that a plain question goes to; None when no question alone will do.
        answer_output: the output that is the plain answer; None when there is no telling which.
        tools: names of its tools, the closed set of the tool label.
        version: what was loaded into it, as the begin of a file's SHA-256; None when nothing was.
    """

    name: str
    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    interface: Interface
    question_input: str | None = None
    answer_output: str | None = None
    tools: tuple[str, ...] = ()
    version: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it takes one question and gives one answer, as the plain endpoints need it."""
        return self.question_input is not None and self.answer_output is not None

    @property
    def version_name(self) -> str:
        """How its version is called, also where nothing was loaded."""
        return self.version or BASE_VERSION


@dataclass(frozen=True, slots=True)
class ProgramReply:
    """What a program answered, by output field, and which model did."""

    outputs: Mapping[str, Any]
    model: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """How a program's language model stands: a breaker state and, when open, the seconds until a probe."""

    name: str
    state: str = "closed"
    retry_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadNumbers:
    """How loaded one upstream is: calls that may be, are, and wait to be in flight; retries that are left."""

    model: str
    limit: int
    in_flight: int
    waiting: int
    retry_budget: float


@dataclass(frozen=True, slots=True)
class VersionShare:
    """Which share of a program's conversations a version answers, from 0 to 1."""

    program: str
    version: str
    share: float


class Program(Protocol):
    """Something that answers. One instance serves many queries at once."""

    spec: ProgramSpec

    async def start(self) -> None:
        """Warm up: afterwards the first query costs what any other does."""

    async def close(self) -> None:
        """Let go of connections and threads."""

    def refusal(self) -> ServiceError | None:
        """Why no query can be run now (its model's breaker is open), or None."""

    def upstreams(self) -> tuple[Upstream, ...]:
        """How its language models stand."""

    def load(self) -> tuple[LoadNumbers, ...]:
        """How loaded each of them is."""

    def reset_upstreams(self) -> None:
        """Close its breakers by hand."""

    async def run(self, run: Run, inputs: Mapping[str, Any], conversation: Sequence[Turn]) -> ProgramReply:
        """Answer once. ``inputs`` holds only names of ``spec.inputs``.

        Raises:
            ServiceError: translated from whatever went wrong.
            RunStoppedError: when the run was stopped.
        """


@dataclass(frozen=True, slots=True)
class LMOptions:
    """Which language model, how to reach it, and how long to try.

    Attributes:
        model: a DSPy model string, or ``offline``.
        api_base: other address than the provider's own.
        api_key: other key than the provider's own variable; never shown by repr.
        fallback_models: tried in order when the one before fails past its retries or is refused.
        chosen: whether the operator named it; else a program's own LM goes before it.
        max_retries: retries of one call after the first attempt.
        call_timeout_seconds: total time of one attempt; longer is an upstream timeout.
        max_connections: connections per upstream.
    """

    model: str = "offline"
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    fallback_models: tuple[str, ...] = ()
    chosen: bool = True
    max_retries: int = 3
    call_timeout_seconds: float = 25.0
    max_connections: int = 1024


@dataclass(frozen=True, slots=True)
class NamedProgram:
    """Which program is served under which name.

    Attributes:
        name: how callers call it.
        path: ``package.module:attribute``, or None for the built-in agent.
        state: the file of its saved state, or None.
    """

    name: str
    path: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """What is served and within which bounds.

    Attributes:
        programs: what is served, the default first.
        tools: ``package.module:function`` each, or empty for the built-in tools.
        max_steps: steps of the built-in agent.
        tool_timeout_seconds: limit of one tool call.
        threads: threads for sync programs and sync tools.
    """

    programs: tuple[NamedProgram, ...] = ()
    tools: tuple[str, ...] = ()
    max_steps: int = 10
    tool_timeout_seconds: float = 20.0
    threads: int = 64
