"""Takes language models to the seam, one upstream per (model, address, credential)."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dspy
from dspy import lm15

from agent_service.core.breaker import BreakerState
from agent_service.programs.base import LoadNumbers, Upstream
from agent_service.programs.lm.chain import ModelChain
from agent_service.programs.lm.engines import AsyncSeamEngine, Sideline, SyncSeamEngine
from agent_service.programs.lm.offline import OFFLINE_MODEL, OfflineEngine, OfflineTransport
from agent_service.programs.lm.providers import Reach, reach, without_client_settings
from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dspy.clients.base_lm import BaseLM

    from agent_service.core.errors import ServiceError
    from agent_service.programs.base import LMOptions
    from agent_service.programs.lm.seam import LMSeam, Transport
    from agent_service.programs.threads import LoopBridge


@dataclass(frozen=True)
class Way:
    """A model and how it is reached."""

    model: str
    reach: Reach


class Upstreams:
    """All language models that are served.

    Args:
        make_seam: builds the seam of one upstream from its model name and transport.
        options: how models are reached.
        bridge: the way from a sync program's thread to the loop.
    """

    def __init__(
        self, *, make_seam: Callable[[str, Transport], LMSeam], options: LMOptions, bridge: LoopBridge
    ) -> None:
        self._make_seam = make_seam
        self._options = options
        self._bridge = bridge
        self._seams: dict[tuple[str, ...], LMSeam] = {}
        self._taken: dict[int, tuple[BaseLM, dspy.LM]] = {}
        self._engines: list[SyncSeamEngine] = []

    def __repr__(self) -> str:
        return f"<Upstreams {list(self._seams.values())}>"

    def configured(self, own: BaseLM | None = None) -> dspy.LM:
        """At the seam: the LM that the settings name, else the program's ``own``, else the default.

        The settings' fallback models stand behind whichever it is.

        Raises:
            LoadError: when it cannot be served.
        """
        options = self._options
        fallbacks = [self._way(self._named(model)) for model in options.fallback_models]
        if own is not None and not options.chosen:
            return self.take(own, fallbacks)
        return self.take(self._named(options.model), fallbacks)

    def take(self, lm: BaseLM, fallbacks: Sequence[Way] = ()) -> dspy.LM:
        """The same LM with its calls going through the seam; one that is there already stays as it is.

        Raises:
            LoadError: when it cannot be brought there.
        """
        engine = getattr(lm, "engine", None)
        if isinstance(engine, SyncSeamEngine) and engine.chain.seams[0] in self._seams.values():
            return lm
        if id(lm) not in self._taken:
            own = _with_engine(lm)
            # At the seam of an earlier service: the way is that of the LM as it was before.
            stock = engine.described_by if isinstance(engine, SyncSeamEngine) else own
            self._taken[id(lm)] = lm, self._at_seam(own, stock, [self._way(stock), *fallbacks])
        return self._taken[id(lm)][1]

    def standing(self) -> tuple[Upstream, ...]:
        """How each upstream's breaker stands."""
        return tuple(
            Upstream(seam.model, seam.breaker.state.value, _retry_after_seconds(seam.breaker.refusal()))
            for seam in self._seams.values()
        )

    def refusal(self, lm: dspy.LM) -> ServiceError | None:
        """Why a call of ``lm`` would be refused now, or None."""
        engine = lm.engine
        return engine.chain.refusal() if isinstance(engine, SyncSeamEngine) else None

    def numbers(self) -> tuple[LoadNumbers, ...]:
        """How loaded each upstream is."""
        return tuple(
            LoadNumbers(
                model=seam.model,
                limit=seam.limit.limit,
                in_flight=seam.limit.in_flight,
                waiting=seam.limit.waiting,
                retry_budget=seam.retry.budget,
            )
            for seam in self._seams.values()
        )

    def reset(self) -> None:
        """Close every breaker by hand."""
        for seam in self._seams.values():
            if seam.breaker.state is not BreakerState.CLOSED:
                seam.breaker.reset()

    async def warm(self) -> None:
        """Look up, off the loop, what the models can do, so that no query waits for it."""
        for engine in self._engines:
            await asyncio.to_thread(engine.look_up_capabilities)

    async def aclose(self) -> None:
        """Close all connections."""
        for engine in self._engines:
            await asyncio.to_thread(engine.close)
        for seam in self._seams.values():
            await seam.aclose()

    def _named(self, model: str) -> dspy.LM:
        """The stock LM of a model name; address and key of the settings go with their provider's models."""
        options = self._options
        if model == OFFLINE_MODEL:
            return dspy.LM(OFFLINE_MODEL, engine=OfflineEngine())
        same_provider = model.partition("/")[0] == options.model.partition("/")[0]
        connection = {"api_base": options.api_base, "api_key": options.api_key} if same_provider else {}
        given = {name: value for name, value in connection.items() if value}
        with _refusing(model):
            return dspy.LM(model, **given)

    def _way(self, stock: dspy.LM) -> Way:
        if isinstance(stock.engine, OfflineEngine):
            return Way(OFFLINE_MODEL, Reach((OFFLINE_MODEL,), OfflineTransport))
        with _refusing(stock.model):
            return Way(stock.model, reach(stock, self._options))

    def _seam(self, way: Way) -> LMSeam:
        key = way.reach.key
        if key not in self._seams:
            self._seams[key] = self._make_seam(way.model, way.reach.make_transport())
        return self._seams[key]

    def _at_seam(self, lm: dspy.LM, stock: dspy.LM, ways: Sequence[Way]) -> dspy.LM:
        """``lm`` with engines that try ``ways`` in order; ``stock`` is the LM as DSPy would call it."""
        chain = ModelChain([self._seam(way) for way in ways])
        sideline = Sideline([way.reach.make_transport for way in ways])
        engine = SyncSeamEngine(chain, bridge=self._bridge, sideline=sideline, described_by=stock)
        self._engines.append(engine)
        return lm.copy(
            engine=engine,
            async_engine=AsyncSeamEngine(chain, bridge=self._bridge),
            num_retries=0,
            cache=False,
            **without_client_settings(lm),
        )


def _with_engine(lm: BaseLM) -> dspy.LM:
    """``lm`` itself; DSPy's DummyLM is no ``dspy.LM`` but has the engines of one."""
    if isinstance(lm, dspy.LM):
        return lm
    engine = getattr(lm, "_engine_spec", None)
    if engine is None:
        kind = type(lm).__name__
        raise LoadError(f"the program brings a {kind}; only dspy.LM (engine= for one's own) can be served")
    return dspy.LM(lm.model, engine=engine, async_engine=lm._async_engine_spec, **lm.kwargs)  # noqa: SLF001 - as above


@contextmanager
def _refusing(model: str) -> Iterator[None]:
    """Within, what DSPy has against a model's settings stops the start with a message."""
    try:
        yield
    except (dspy.LMError, lm15.LM15Error, TypeError, ValueError) as error:
        raise LoadError(f"the language model {model!r} cannot be served: {error}") from error


def _retry_after_seconds(refusal: ServiceError | None) -> float:
    return 0.0 if refusal is None else refusal.retry_after_seconds or 0.0
