"""The composition root's part for programs: the modules that are served, models and tools at the seams."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dspy

from agent_service.bootstrap.mcp import mcp_servers
from agent_service.bootstrap.program_maker import ProgramMaker
from agent_service.config import options as options_of
from agent_service.core.adaptive_limit import AdaptiveLimit
from agent_service.core.breaker import Breaker, BreakerState
from agent_service.core.observer import BreakerMoved, Observer
from agent_service.core.retry import RetryOptions, RetryPolicy
from agent_service.programs.builtin_tools import BUILTIN_TOOLS
from agent_service.programs.default_agent import default_agent
from agent_service.programs.lm.seam import LMSeam, Transport
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.loader import LoadError, configured_lm, load_module, load_tool
from agent_service.programs.shared_parts import SharedParts
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dspy.clients.base_lm import BaseLM

    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.programs.base import NamedProgram, ProgramOptions
    from agent_service.programs.dspy_program import DspyProgram


def build_programs(
    settings: Settings,
    *,
    clock: Clock,
    observer: Observer,
    own: dspy.Module | None = None,
    make_upstreams: Callable[..., Upstreams] = Upstreams,
) -> tuple[DspyProgram, ...]:
    """The programs that ``program_makers`` make; it says what it takes.

    Raises:
        LoadError: when one cannot be served.
    """
    makers = program_makers(settings, clock=clock, observer=observer, own=own, make_upstreams=make_upstreams)
    return made_programs(makers, settings)


def made_programs(makers: Sequence[ProgramMaker], settings: Settings) -> tuple[DspyProgram, ...]:
    """What the makers of these settings make, the default first.

    Raises:
        LoadError: when one cannot be served.
    """
    options, programs = options_of.program_options(settings), []
    for named, maker in zip(options.programs, makers, strict=True):
        with _naming(named, options):
            programs.append(maker.make())
    return tuple(programs)


def program_makers(
    settings: Settings,
    *,
    clock: Clock,
    observer: Observer,
    own: dspy.Module | None = None,
    make_upstreams: Callable[..., Upstreams] = Upstreams,
) -> tuple[ProgramMaker, ...]:
    """For each program that the settings name, the default first; their LMs and tools at the seams.

    Args:
        settings: what is served.
        clock: where time comes from.
        observer: told of all that happens.
        own: served where the settings name no program, instead of the built-in agent.
        make_upstreams: how the language models are reached; takes what ``Upstreams`` takes.

    Raises:
        LoadError: when one cannot be served.
    """
    options, bridge = options_of.program_options(settings), LoopBridge()
    tool_threads = WorkThreads("tool", size=options.threads)
    parts = SharedParts(
        upstreams=_upstreams(settings, bridge, make_upstreams, clock=clock, observer=observer),
        threads=WorkThreads("program", size=options.threads),
        tool_threads=tool_threads,
        bridge=bridge,
        mcp=(mcp := mcp_servers(settings, clock=clock)),
    )
    offered = mcp.tools if mcp else ()
    tools = ToolSeam(threads=tool_threads, bridge=bridge, timeout_seconds=options.tool_timeout_seconds)
    modules: dict[str, dspy.Module] = {}
    for named in options.programs:
        with _naming(named, options):
            modules[named.name] = _module(named, options, modules, offered, own)
    own_lms = {each.name: _own_lm(each) for each in options.programs}
    lms = {id(lm): parts.upstreams.configured(lm) for lm in own_lms.values()}
    return tuple(
        ProgramMaker(
            named,
            modules[named.name],
            lm=lms[id(own_lms[named.name])],
            parts=parts,
            tools=tools,
            settings=settings,
        )
        for named in options.programs
    )


def _own_lm(named: NamedProgram) -> BaseLM | None:
    """What its code configured; else what another's did."""
    return (named.path and configured_lm(named.path)) or dspy.settings.lm


def _module(
    named: NamedProgram,
    options: ProgramOptions,
    others: Mapping[str, dspy.Module],
    offered: Sequence[dspy.Tool],
    instead: dspy.Module | None,
) -> dspy.Module:
    own = [load_tool(path) for path in options.tools]
    if named.path is None:
        return instead or default_agent([*(own or BUILTIN_TOOLS), *offered], max_steps=options.max_steps)
    module = load_module(named.path, tools=[*own, *offered])
    twin = next((name for name, other in others.items() if other is module), None)
    if twin is not None:
        raise LoadError(f"{named.path} is served as {twin} already; name a function that makes another one")
    return module


@contextmanager
def _naming(named: NamedProgram, options: ProgramOptions) -> Iterator[None]:
    """Within, a refusal says which of several programs it is about."""
    try:
        yield
    except LoadError as error:
        if len(options.programs) == 1:
            raise
        raise LoadError(f"{named.name}: {error}") from error


def _upstreams(
    settings: Settings,
    bridge: LoopBridge,
    make_upstreams: Callable[..., Upstreams],
    *,
    clock: Clock,
    observer: Observer,
) -> Upstreams:
    options, chance = options_of.lm_options(settings), random.Random()

    def make_seam(model: str, transport: Transport) -> LMSeam:
        def moved(before: BreakerState, after: BreakerState) -> None:
            observer.observe(BreakerMoved("", model, before.value, after.value))

        return LMSeam(
            model=model,
            transport=transport,
            limit=AdaptiveLimit(options_of.limit_options(settings), clock=clock),
            breaker=Breaker(options_of.breaker_options(settings), clock=clock, random=chance, on_move=moved),
            retry=RetryPolicy(RetryOptions(max_retries=options.max_retries), random=chance),
            call_timeout_seconds=options.call_timeout_seconds,
            run_timeout_seconds=settings.agent_request_timeout_secs,
            clock=clock,
            observer=observer,
        )

    return make_upstreams(make_seam=make_seam, options=options, bridge=bridge)
