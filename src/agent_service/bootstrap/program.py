"""The composition root's part for programs: the module that is served, its models and tools at the seams."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

import dspy

from agent_service.config import options as options_of
from agent_service.core.adaptive_limit import AdaptiveLimit
from agent_service.core.breaker import Breaker, BreakerState
from agent_service.core.observer import BreakerMoved, Observer
from agent_service.core.retry import RetryOptions, RetryPolicy
from agent_service.programs.default_agent import NAME as DEFAULT_PROGRAM
from agent_service.programs.default_agent import WARM_UP, default_agent
from agent_service.programs.dspy_program import DspyProgram
from agent_service.programs.fast import accelerate
from agent_service.programs.fields import fields_of, spec_of
from agent_service.programs.lm.seam import LMSeam, Transport
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.loader import load_module, load_tool
from agent_service.programs.seams import SeamTaker
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam

if TYPE_CHECKING:
    from agent_service.config import Settings
    from agent_service.core.clock import Clock

_log = logging.getLogger(__name__)


def build_program(settings: Settings, *, clock: Clock, observer: Observer) -> DspyProgram:
    """The module that the settings name, its LMs and tools at the seams."""
    options, bridge = options_of.program_options(settings), LoopBridge()
    threads = WorkThreads("program", size=options.threads)
    tool_threads = WorkThreads("tool", size=options.threads)
    upstreams = _upstreams(settings, bridge, clock=clock, observer=observer)
    tools = ToolSeam(threads=tool_threads, bridge=bridge, timeout_seconds=options.tool_timeout_seconds)
    if options.program is None:
        module = default_agent([load_tool(path) for path in options.tools], max_steps=options.max_steps)
    else:
        module = load_module(options.program)
    taker = SeamTaker(upstreams=upstreams, tools=tools)
    taker.take(module)
    acceleration = accelerate(module) if settings.agent_fast_path == "on" else None
    _log.info("fast path: %s", acceleration or "off")
    lm = upstreams.configured(dspy.settings.lm)
    fields = fields_of(module)
    name = (
        DEFAULT_PROGRAM if options.program is None else options.program.partition(":")[2].rpartition(".")[2]
    )
    return DspyProgram(
        module,
        lm=lm,
        spec=spec_of(name, lm.model, fields, taker.tool_names),
        fields=fields,
        upstreams=upstreams,
        threads=(threads, tool_threads),
        bridge=bridge,
        acceleration=acceleration,
        warm_up=None if acceleration or options.program or options.tools else WARM_UP,
    )


def _upstreams(settings: Settings, bridge: LoopBridge, *, clock: Clock, observer: Observer) -> Upstreams:
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

    return Upstreams(make_seam=make_seam, options=options, bridge=bridge)
