"""From settings to a wired service."""

from __future__ import annotations

import gc
import logging
import os
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

from agent_service import __version__
from agent_service.access.base import NO_LIMITS
from agent_service.api.app import ApiOptions, create_app
from agent_service.bootstrap.access import build_access
from agent_service.bootstrap.limits import build_limits, counting
from agent_service.bootstrap.releases import build_served
from agent_service.bootstrap.store import build_store
from agent_service.bootstrap.streams import Streams, streams
from agent_service.bootstrap.tracing import Traces, build_tracing, import_tracing
from agent_service.config import options as options_of
from agent_service.core.clock import Clock, SystemClock
from agent_service.core.observer import Observer, Observers
from agent_service.core.pool import Pool
from agent_service.core.siblings import ALONE, Siblings
from agent_service.programs.lm.offline import OFFLINE_MODEL
from agent_service.runtime.conversations import Conversations
from agent_service.runtime.idempotency import IdempotentAnswering
from agent_service.runtime.lifecycle import Lifecycle
from agent_service.runtime.runner import Runner
from agent_service.runtime.shared_conversations import SharedConversations
from agent_service.runtime.shared_vitals import SharedVitals
from agent_service.runtime.turns import TurnKeeper
from agent_service.runtime.vitals import ServiceVitals
from agent_service.telemetry.logs import LogOptions, configure_logging
from agent_service.telemetry.loop_lag import LoopLagMeter
from agent_service.telemetry.loop_watchdog import LoopWatchdog
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.query_log import QueryLog
from agent_service.telemetry.shared_metrics import SharedMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from agent_service.access.limits.limiter import Limiter
    from agent_service.bootstrap.releases import Served
    from agent_service.config import Settings
    from agent_service.memory.base import ConversationStore
    from agent_service.programs.served import ServedPrograms
    from agent_service.runtime.streams.queries import FollowedQueries

_log = logging.getLogger(__name__)


class Service:
    """The wired service: an ASGI app whose lifespan starts and stops it, and the way to its drain."""

    def __init__(self, *, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self.app = app
        self._lifecycle = lifecycle

    def __repr__(self) -> str:
        return f"<Service {self._lifecycle!r}>"

    def withdraw(self) -> None:
        """Not ready any more, but answer queries as before."""
        self._lifecycle.withdraw()

    def begin_drain(self) -> None:
        """Not ready any more; new queries are refused, those in flight go on."""
        self._lifecycle.begin_drain()

    async def drained(self, grace_seconds: float) -> None:
        """Return when no query is in flight, at the latest after ``grace_seconds``."""
        await self._lifecycle.drained(grace_seconds)


def prepare(settings: Settings) -> None:
    """In a process that others are forked from: import what all of them would, and log as they do."""
    _start_logging(settings, with_pid=True)
    if settings.redis_url is not None:
        from agent_service.memory import redis  # noqa: F401, PLC0415 - for the import's sake
    if settings.is_traced:
        import_tracing()


def build(settings: Settings, *, siblings: Siblings = ALONE) -> Service:
    """Wire the service that ``settings`` describe. Nothing is opened before its lifespan starts.

    Args:
        settings: what is wired.
        siblings: the other processes that serve the same address.

    Raises:
        LoadError: when the program or a tool cannot be served.
        UnreadableError: when a file of keys cannot be read, or is wrong.
    """
    # DSPy and LiteLLM otherwise fetch their catalogues of models from the internet.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    logs = _start_logging(settings, with_pid=siblings.are_there)
    clock, observers = SystemClock(), Observers(QueryLog())
    traces = build_tracing(settings, clock=clock, observers=observers)
    access = build_access(settings, clock=clock, observer=observers)
    limits = build_limits(settings, clock=clock, observers=observers, siblings=siblings)
    programs = (served := build_served(settings, clock=clock, observers=observers)).programs
    store = build_store(settings, clock=clock, observer=observers)
    pool = Pool(options_of.pool_options(settings), clock=clock)
    runner = _runner(settings, programs, store, pool, clock=clock, observer=observers, traces=traces)
    watches = [watch(clock=clock, observer=observers).run for watch in (LoopLagMeter, LoopWatchdog)]
    background = [*watches, *access.background, *served.background]
    lifecycle = Lifecycle(store=store, programs=programs, runner=runner, clock=clock, background=background)
    vitals = _vitals(programs, store, pool, runner, lifecycle=lifecycle, clock=clock)
    observers.add(metrics := _metrics(programs, pool, runner, vitals))
    shared_metrics = SharedMetrics(metrics, siblings=siblings, clock=clock)
    background.append(shared_metrics.run)
    answering = _answering(settings, runner, store, programs)
    streaming = streams(settings, clock=clock, observer=observers)
    following = streaming.following(answering)
    conversations = Conversations(store=store, runner=runner, clock=clock, streams=streaming.keeper)
    app = create_app(
        answering=answering,
        following=following,
        resuming=streaming.resuming,
        remembering=SharedConversations(conversations, runner=runner, siblings=siblings, clock=clock),
        vitals=SharedVitals(vitals, siblings=siblings),
        expose_metrics=shared_metrics.expose,
        observer=observers,
        clock=clock,
        options=_api_options(settings),
        programs=programs.specs,
        identifying=access.identifying,
        limits=limits or NO_LIMITS,
        release_operator=served.release_operator,
        lifespan=_lifespan(lifecycle, served, logs, streaming, following, limits=limits, traces=traces),
    )
    return Service(app=traces.app(app), lifecycle=lifecycle)


def _start_logging(settings: Settings, *, with_pid: bool) -> LogOptions:
    logs = LogOptions(format=settings.log_format, levels=settings.log_levels, with_pid=with_pid)
    configure_logging(logs)
    return logs


def _runner(
    settings: Settings,
    programs: ServedPrograms,
    store: ConversationStore,
    pool: Pool,
    *,
    clock: Clock,
    observer: Observer,
    traces: Traces,
) -> Runner:
    return Runner(
        programs=programs,
        store=store,
        turns=TurnKeeper(store=store, clock=clock, options=options_of.turn_options(settings)),
        pool=pool,
        clock=clock,
        observer=observer,
        options=options_of.runner_options(settings),
        trace=traces.begin,
    )


def _answering(
    settings: Settings, runner: Runner, store: ConversationStore, programs: ServedPrograms
) -> IdempotentAnswering:
    return IdempotentAnswering(
        answering=runner,
        store=store,
        programs=programs,
        options=options_of.idempotency_options(settings),
    )


def _api_options(settings: Settings) -> ApiOptions:
    return ApiOptions(
        max_question_chars=settings.agent_max_question_chars,
        request_timeout_seconds=settings.agent_request_timeout_secs,
    )


def _vitals(
    programs: ServedPrograms,
    store: ConversationStore,
    pool: Pool,
    runner: Runner,
    *,
    lifecycle: Lifecycle,
    clock: Clock,
) -> ServiceVitals:
    return ServiceVitals(
        version=__version__,
        programs=programs,
        store=store,
        pool=pool,
        runner=runner,
        lifecycle=lifecycle,
        clock=clock,
    )


def _metrics(programs: ServedPrograms, pool: Pool, runner: Runner, vitals: ServiceVitals) -> Metrics:
    return Metrics(
        pool_size=lambda: pool.stats.size,
        pool_in_use=lambda: pool.stats.in_use,
        pool_waiting=lambda: pool.stats.waiting,
        pool_abandoned=lambda: runner.abandoned,
        breaker_state=vitals.breaker_state,
        upstreams=programs.load,
        versions=programs.shares,
        version=__version__,
        dspy_version=version_of("dspy"),
        models=[upstream.name for upstream in programs.upstreams()],
        tools=sorted({tool for spec in programs.specs for tool in spec.tools}),
    )


def _spare_the_collector() -> None:
    """Keep what was loaded out of each full collection, which would stop the event loop for 0.1 s.

    Collections of young objects are rarer too. A query leaves nothing for them, but with many in flight the
    count of young objects swings by thousands, and each collection would walk through all of theirs. Programs
    that do leave cycles keep some 4 MB of them until the next one, which then takes some 30 ms.
    """
    gc.freeze()
    gc.set_threshold(30_000, 20, 20)
    gc.enable()


def _lifespan(
    lifecycle: Lifecycle,
    served: Served,
    logs: LogOptions,
    streaming: Streams,
    following: FollowedQueries,
    *,
    limits: Limiter | None,
    traces: Traces,
) -> Any:
    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with (
            served.closing(),
            traces.running(),
            counting(limits),
            streaming.closing(following),
            lifecycle.running(),
        ):
            await streaming.log.start()
            _spare_the_collector()
            configure_logging(logs)  # again: LiteLLM, when a model needs it, adds handlers that print prompts
            if served.programs.default.spec.model == OFFLINE_MODEL:
                _log.warning(
                    "no language model is configured: the offline demo engine answers. "
                    "Set OPENAI_API_KEY, or AGENT_MODEL and its provider's key, to use a real one."
                )
            yield

    return lifespan
