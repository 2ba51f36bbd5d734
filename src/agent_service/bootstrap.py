"""The composition root: from settings to a wired service. The only module that names concrete classes."""

from __future__ import annotations

import logging
import os
import random
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import dspy

from agent_service import __version__
from agent_service.api.app import ApiOptions, create_app
from agent_service.bootstrap_streams import Streams, streams
from agent_service.config import options as options_of
from agent_service.core.adaptive_limit import AdaptiveLimit
from agent_service.core.breaker import Breaker, BreakerState
from agent_service.core.clock import Clock, SystemClock
from agent_service.core.observer import BreakerMoved, Observer, Observers
from agent_service.core.pool import Pool
from agent_service.core.retry import RetryOptions, RetryPolicy
from agent_service.memory.observed import ObservedStore, breaker_options
from agent_service.memory.redis import RedisStore
from agent_service.memory.sqlite import SqliteOptions, SqliteStore
from agent_service.programs.default_agent import NAME as DEFAULT_PROGRAM
from agent_service.programs.default_agent import WARM_UP, default_agent
from agent_service.programs.dspy_program import DspyProgram
from agent_service.programs.fields import fields_of, spec_of
from agent_service.programs.lm.offline import OFFLINE_MODEL
from agent_service.programs.lm.seam import LMSeam, Transport
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.loader import load_module, load_tool
from agent_service.programs.seams import SeamTaker
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam
from agent_service.runtime.conversations import Conversations
from agent_service.runtime.idempotency import IdempotentAnswering
from agent_service.runtime.lifecycle import Lifecycle
from agent_service.runtime.runner import Runner, RunnerOptions
from agent_service.runtime.turns import TurnKeeper, TurnOptions
from agent_service.runtime.vitals import ServiceVitals
from agent_service.telemetry.logs import LogOptions, configure_logging
from agent_service.telemetry.loop_lag import LoopLagMeter
from agent_service.telemetry.loop_watchdog import LoopWatchdog
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.query_log import QueryLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from agent_service.config import Settings
    from agent_service.memory.base import ConversationStore
    from agent_service.programs.base import Program
    from agent_service.runtime.streams.queries import FollowedQueries

_log = logging.getLogger(__name__)


class Service:
    """The wired service: an ASGI app whose lifespan starts and stops it, and the way to its drain."""

    def __init__(self, *, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self.app = app
        self._lifecycle = lifecycle

    def __repr__(self) -> str:
        return f"<Service {self._lifecycle!r}>"

    def begin_drain(self) -> None:
        """Not ready any more; new queries are refused, those in flight go on."""
        self._lifecycle.begin_drain()

    async def drained(self, grace_seconds: float) -> None:
        """Return when no query is in flight, at the latest after ``grace_seconds``."""
        await self._lifecycle.drained(grace_seconds)


def build(settings: Settings) -> Service:
    """Wire the service that ``settings`` describe. Nothing is opened before its lifespan starts.

    Raises:
        LoadError: when the program or a tool cannot be served.
    """
    # DSPy and LiteLLM otherwise fetch their catalogues of models from the internet.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    logs = LogOptions(format=settings.log_format, levels=settings.log_levels)
    configure_logging(logs)
    clock = SystemClock()
    observers = Observers(QueryLog())
    program = _program(settings, clock=clock, observer=observers)
    store = _store(settings, clock=clock, observer=observers)
    pool = Pool(options_of.pool_options(settings), clock=clock)
    runner = _runner(settings, program, store, pool, clock=clock, observer=observers)
    lag = LoopLagMeter(clock=clock, observer=observers)
    watchdog = LoopWatchdog(clock=clock, observer=observers)
    background = [lag.run, watchdog.run]
    lifecycle = Lifecycle(store=store, program=program, runner=runner, clock=clock, background=background)
    vitals = ServiceVitals(
        version=__version__,
        program=program,
        store=store,
        pool=pool,
        runner=runner,
        lifecycle=lifecycle,
        clock=clock,
    )
    metrics = _metrics(program, pool, runner, vitals)
    observers.add(metrics)
    answering = _answering(settings, runner, store)
    streaming = streams(settings, clock=clock, observer=observers)
    following = streaming.following(answering)
    app = create_app(
        answering=answering,
        following=following,
        resuming=streaming.resuming,
        remembering=Conversations(store=store, runner=runner, clock=clock, streams=streaming.keeper),
        vitals=vitals,
        expose_metrics=metrics.expose,
        observer=observers,
        clock=clock,
        options=_api_options(settings),
        lifespan=_lifespan(lifecycle, program, logs, streaming, following),
    )
    return Service(app=app, lifecycle=lifecycle)


def _program(settings: Settings, *, clock: Clock, observer: Observer) -> Program:
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
        warm_up=None if options.program or options.tools else WARM_UP,
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


def _store(settings: Settings, *, clock: Clock, observer: Observer) -> ConversationStore:
    """Redis when the settings name one, else the SQLite file; its breaker is reported like a model's."""
    redis_options = options_of.redis_options(settings)
    store: ConversationStore
    if redis_options is not None:
        store = RedisStore(options_of.store_options(settings), redis_options, clock=clock)
    else:
        store = SqliteStore(
            options_of.store_options(settings), SqliteOptions(settings.memory_path), clock=clock
        )

    def moved(before: BreakerState, after: BreakerState) -> None:
        observer.observe(BreakerMoved("", f"memory:{store.backend}", before.value, after.value))

    return ObservedStore(
        store,
        observer=observer,
        clock=clock,
        breaker=Breaker(
            breaker_options(settings.memory_timeout_secs), clock=clock, random=random.Random(), on_move=moved
        ),
        timeout_seconds=settings.memory_timeout_secs,
    )


def _runner(
    settings: Settings,
    program: Program,
    store: ConversationStore,
    pool: Pool,
    *,
    clock: Clock,
    observer: Observer,
) -> Runner:
    return Runner(
        program=program,
        store=store,
        turns=TurnKeeper(store=store, clock=clock, options=_turn_options(settings)),
        pool=pool,
        clock=clock,
        observer=observer,
        options=_runner_options(settings),
    )


def _runner_options(settings: Settings) -> RunnerOptions:
    return RunnerOptions(
        request_timeout_seconds=settings.agent_request_timeout_secs,
        commit_reserve_seconds=settings.memory_timeout_secs,
        context_turns=settings.memory_context_turns,
        context_tokens=settings.memory_context_tokens,
        degrade_without_memory=settings.memory_on_failure == "degrade",
        limits=options_of.run_limits(settings),
    )


def _turn_options(settings: Settings) -> TurnOptions:
    return TurnOptions(policy=settings.conversation_policy, wait_seconds=settings.conversation_wait_secs)


def _answering(settings: Settings, runner: Runner, store: ConversationStore) -> IdempotentAnswering:
    return IdempotentAnswering(
        answering=runner, store=store, options=options_of.idempotency_options(settings)
    )


def _api_options(settings: Settings) -> ApiOptions:
    return ApiOptions(
        max_question_chars=settings.agent_max_question_chars,
        request_timeout_seconds=settings.agent_request_timeout_secs,
    )


def _metrics(program: Program, pool: Pool, runner: Runner, vitals: ServiceVitals) -> Metrics:
    return Metrics(
        pool_size=lambda: pool.stats.size,
        pool_in_use=lambda: pool.stats.in_use,
        pool_waiting=lambda: pool.stats.waiting,
        pool_abandoned=lambda: runner.abandoned,
        breaker_state=vitals.breaker_state,
        upstreams=program.load,
        version=__version__,
        dspy_version=version_of("dspy"),
        models=[upstream.name for upstream in program.upstreams()],
        tools=program.spec.tools,
    )


def _lifespan(
    lifecycle: Lifecycle,
    program: Program,
    logs: LogOptions,
    streaming: Streams,
    following: FollowedQueries,
) -> Any:
    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with streaming.closing(following), lifecycle.running():
            await streaming.log.start()
            configure_logging(logs)  # again: LiteLLM, when a model needs it, adds handlers that print prompts
            if program.spec.model == OFFLINE_MODEL:
                _log.warning(
                    "no language model is configured: the offline demo engine answers. "
                    "Set OPENAI_API_KEY, or AGENT_MODEL and its provider's key, to use a real one."
                )
            yield

    return lifespan
