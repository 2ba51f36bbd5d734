"""The tool seam: every tool call of a program is checked, counted, timed and bounded here."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, Protocol, cast

import dspy

from agent_service.core.observer import ToolFinished, ToolStarted
from agent_service.core.run import Run, StepTimeoutError
from agent_service.core.trace import TRACE
from agent_service.programs.builtin_tools import BRIEF_TOOLS
from agent_service.programs.context import current_run
from agent_service.programs.streams.tool_arguments import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from agent_service.programs.threads import LoopBridge, WorkThreads

_MAX_MESSAGE_CHARS = 500
_ENDS_OF_PROCESS = (SystemExit, KeyboardInterrupt)
"""What asyncio raises out of the event loop, which would be the end of the whole service."""
_PATH = re.compile(r"file:/+[\w.\-/]+|(?<![\w/:.])(?:/|[A-Za-z]:\\)[\w.\-]+(?:[/\\][\w.\-]+)+")


class Callee(Protocol):
    """What the seam calls: a ``dspy.Tool``, or what stands for one."""

    @property
    def name(self) -> str | None:
        """The tool's name."""

    @property
    def func(self) -> Callable[..., Any]:
        """The tool's function."""

    async def acall(self, **arguments: Any) -> Any:
        """Check the arguments and call the function."""

    def __call__(self, **arguments: Any) -> Any:
        """The same for synchronous code."""


class ToolSeam:
    """Calls tools for runs.

    Args:
        threads: where synchronous tools work, off the event loop.
        bridge: the way from a sync program's thread to the loop.
        timeout_seconds: limit of one call.
    """

    def __init__(self, *, threads: WorkThreads, bridge: LoopBridge, timeout_seconds: float) -> None:
        self._threads = threads
        self._bridge = bridge
        self._timeout_seconds = timeout_seconds

    def take(self, tool: dspy.Tool, *, observing: bool) -> SeamTool:
        """The same tool, called through the seam, and through no other that it was taken to before.

        ``observing``: a failure becomes an observation for the agent instead of an exception.
        """
        return SeamTool(tool.stock if isinstance(tool, SeamTool) else tool, self, observing=observing)

    async def acall(self, tool: Callee, arguments: dict[str, Any]) -> Any:
        """Call ``tool`` for the current run, from whatever loop.

        Raises:
            RunStoppedError: when the run was stopped before or during the call.
            TimeoutError: when the tool took longer than its limit.
            Exception: whatever the tool raised.
        """
        run = current_run()
        if run is None:
            return await tool.acall(**arguments)
        if self._bridge.on_service_loop():
            return await self._acall(run, tool, arguments, home=None)
        home = asyncio.get_running_loop()
        return await self._bridge.wait_from_another_loop(self._acall(run, tool, arguments, home=home))

    def call(self, tool: Callee, arguments: dict[str, Any]) -> Any:
        """The same for synchronous code: from a thread by way of the loop, on the loop itself in place."""
        run = current_run()
        if run is None:
            return tool(**arguments)
        if not self._bridge.on_service_loop():
            return self._bridge.wait(self._acall(run, tool, arguments, home=None))
        with _Step(run, tool.name or "tool", arguments):
            return tool(**arguments)

    async def _acall(
        self, run: Run, tool: Callee, arguments: dict[str, Any], *, home: asyncio.AbstractEventLoop | None
    ) -> Any:
        """On the service's loop, where a stop reaches it; ``home`` is the caller's if that is another."""
        with _Step(run, tool.name or "tool", arguments) as step:
            if _is_brief(tool.func):
                return tool(**arguments)
            try:
                with run.interruptible(self._timeout_seconds):
                    if not _is_async(tool.func):
                        return await self._threads.do(run, lambda: _in_thread(tool, arguments))
                    if home is None:
                        return await tool.acall(**arguments)
                    there = asyncio.run_coroutine_threadsafe(tool.acall(**arguments), home)
                    return await asyncio.wrap_future(there)
            except StepTimeoutError:
                step.outcome = "timeout"
                raise TimeoutError(f"it took longer than {self._timeout_seconds:g} seconds") from None

    def __deepcopy__(self, memo: object) -> Self:
        return self


class SeamTool(dspy.Tool):
    """A tool that goes through the seam; to DSPy it is the tool that it wraps."""

    # Not pydantic's private attributes, of which each reading takes as long as a short tool.
    __slots__ = ("_callee", "_make_callee", "_observing", "_seam", "_stock")

    def __init__(self, tool: dspy.Tool, seam: ToolSeam, *, observing: bool) -> None:
        super().__init__(
            func=_function_at(seam, tool),
            name=tool.name,
            desc=tool.desc,
            args=tool.args,
            arg_types=tool.arg_types,
            arg_desc=tool.arg_desc,
        )
        self.has_kwargs = tool.has_kwargs  # type: ignore[misc] # a field of dspy.Tool, which mypy cannot see
        self._stock = tool
        self._callee: Callee = tool
        self._make_callee: Callable[[dspy.Tool], Callee] | None = None
        self._seam = seam
        self._observing = observing

    def _parse_function(self, func: object, arg_desc: object = None) -> None:
        """Nothing: the tool knows its name and arguments already."""

    @property
    def stock(self) -> dspy.Tool:
        """The tool as it was."""
        return self._stock

    @property
    def callee(self) -> Callee:
        """What the seam calls."""
        return self._callee

    @property
    def is_observing(self) -> bool:
        """Whether its failures are observations for the agent."""
        return self._observing

    def call_by(self, make_callee: Callable[[dspy.Tool], Callee]) -> None:
        """Have the seam call what ``make_callee`` makes of the stock tool, from now on and in copies."""
        self._make_callee, self._callee = make_callee, make_callee(self._stock)

    def __call__(self, **kwargs: Any) -> Any:
        """Call the tool from synchronous code."""
        try:
            return self._seam.call(self._callee, kwargs)
        except Exception as error:
            if not self._observing:
                raise
            return observation(self.name, error)

    async def acall(self, **kwargs: Any) -> Any:
        """Call the tool from asynchronous code."""
        try:
            return await self._seam.acall(self._callee, kwargs)
        except Exception as error:
            if not self._observing:
                raise
            return observation(self.name, error)

    def __copy__(self) -> SeamTool:
        return self._around(self._stock)

    def __deepcopy__(self, memo: Any = None) -> SeamTool:
        return self._around(copy.deepcopy(self._stock, memo))

    def _around(self, stock: dspy.Tool) -> SeamTool:
        copied = SeamTool(stock, self._seam, observing=self._observing)
        if self._make_callee is not None:
            copied.call_by(self._make_callee)
        return copied


class _Step:
    """One tool call of a run, from its check to its events."""

    def __init__(self, run: Run, tool: str, arguments: dict[str, Any]) -> None:
        run.check()
        self.outcome = "success"
        self._run = run
        self._tool = tool
        self._number = run.count_tool_step(tool)
        self._arguments = shown(arguments) if run.is_watched or _trace_wants_content() else None
        self._started = run.clock.monotonic()

    def __enter__(self) -> Self:
        self._run.emit(ToolStarted(self._run.request_id, self._tool, self._number, self._arguments))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None and self.outcome == "success":
            self.outcome = "error" if issubclass(kind, (Exception, *_ENDS_OF_PROCESS)) else "stopped"
        latency_seconds = self._run.clock.monotonic() - self._started
        event = ToolFinished(self._run.request_id, self._tool, self._number, self.outcome, latency_seconds)
        self._run.emit(event)
        if isinstance(error, _ENDS_OF_PROCESS):
            raise RuntimeError("it tried to end the process") from error  # noqa: TRY004 - no argument's type is wrong


def _trace_wants_content() -> bool:
    trace = TRACE.get()
    return trace is not None and trace.wants_content


def observation(tool: str | None, error: Exception) -> str:
    """What an agent is told of a failed call: the kind and the message, without paths or traceback."""
    message = _PATH.sub("[path]", str(error))
    if len(message) > _MAX_MESSAGE_CHARS:
        message = f"{message[:_MAX_MESSAGE_CHARS]} ..."
    return f"Execution error in {tool}: {type(error).__name__}: {message}"


def _function_at(seam: ToolSeam, tool: dspy.Tool) -> Callable[..., Any]:
    """The tool's function for code that calls it past the tool, as DSPy's ``ToolCall.execute`` does."""
    function = tool.func
    if _is_async(function):

        @functools.wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            return await seam.acall(tool, _named(function, args, kwargs))

        return acall

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return seam.call(tool, _named(function, args, kwargs))

    return call


def _named(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name, as tools take them."""
    return (
        {**dict(zip(inspect.signature(function).parameters, args, strict=False)), **kwargs}
        if args
        else kwargs
    )


def _in_thread(tool: Callee, arguments: dict[str, Any]) -> Any:
    """What only turns out to be async when it is called gets a loop of its own in the thread."""
    with dspy.context(allow_tool_async_sync_conversion=True):
        return tool(**arguments)


def _is_brief(function: object) -> bool:
    """Whether a thread would cost many times the call itself."""
    return any(function is brief for brief in BRIEF_TOOLS)


def _is_async(function: object) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004 - the method itself is asked for, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def as_tool(function: object) -> dspy.Tool:
    """A ``dspy.Tool`` of a function, or the tool itself."""
    return cast("dspy.Tool", function if isinstance(function, dspy.Tool) else dspy.Tool(function))
