"""Language models on their way to the seam: what they share, what they keep, what is refused."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15
from dspy.utils import DummyLM

from agent_service.core.breaker import BreakerOptions
from agent_service.core.errors import CircuitBreakerOpenError
from agent_service.programs.base import LMOptions, Upstream
from agent_service.programs.lm.engines import SyncSeamEngine
from agent_service.programs.lm.offline import OFFLINE_MODEL
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.loader import LoadError
from agent_service.programs.threads import LoopBridge
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import ScriptedTransport, make_seam, response, said, scripted_lm

if TYPE_CHECKING:
    from agent_service.programs.lm.seam import LMSeam, Transport

KEY = "sk-very-secret"


def upstreams(bridge: LoopBridge | None = None, **options: Any) -> Upstreams:
    """None yet; their breakers open at the first failure."""
    clock, observer = FakeClock(), RecordingObserver()

    def make(model: str, transport: Transport) -> LMSeam:
        breaker = BreakerOptions(failure_threshold=1)
        return make_seam(model, transport, clock=clock, observer=observer, breaker=breaker)

    return Upstreams(make_seam=make, options=LMOptions(**options), bridge=bridge or LoopBridge())


def attached(**options: Any) -> Upstreams:
    """The same on the running loop."""
    bridge = LoopBridge()
    bridge.attach()
    return upstreams(bridge, **options)


def seam_of(lm: dspy.LM) -> LMSeam:
    """Where the LM's calls go."""
    assert isinstance(lm.engine, SyncSeamEngine)
    return lm.engine.chain.seams[0]


def test_the_same_upstream_has_one_seam() -> None:
    """Two LMs of the same model, address and key share breaker, budget and connections."""
    all_of_them = upstreams()
    one = all_of_them.take(dspy.LM("openai/gpt-4o-mini", api_key=KEY, temperature=0.1))
    two = all_of_them.take(dspy.LM("openai/gpt-4o-mini", api_key=KEY, temperature=0.9))
    assert seam_of(one) is seam_of(two)
    assert len(all_of_them.standing()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model": "openai/gpt-4o"},
        {"api_key": "another"},
        {"api_base": "http://gateway/v1"},
        {"extra_headers": {"X-Tenant": "b"}},
        {"organization": "b"},
    ],
)
def test_another_upstream_has_a_seam_of_its_own(other: dict[str, Any]) -> None:
    """What goes elsewhere, or with other credentials, fails by itself and is not sent the first one's."""
    settings = {"model": "openai/gpt-4o-mini", "api_key": KEY, "extra_headers": {"X-Tenant": "a"}}
    all_of_them = upstreams()
    one = all_of_them.take(dspy.LM(**settings))
    two = all_of_them.take(dspy.LM(**{**settings, **other}))
    assert seam_of(one) is not seam_of(two)


def test_no_key_is_ever_shown() -> None:
    """Reprs end up in logs; keys do not."""
    all_of_them = upstreams(model="openai/gpt-4o-mini", api_key=KEY)
    lm = all_of_them.configured()
    shown = [all_of_them, lm, lm.engine, seam_of(lm), seam_of(lm).transport, LMOptions(api_key=KEY)]
    assert not [thing for thing in shown if KEY in repr(thing)]
    assert KEY not in str(lm.kwargs)


def test_taking_is_idempotent() -> None:
    """An LM used by many predictors is taken once; what is at the seam stays as it is, copies too."""
    all_of_them, own = upstreams(), dspy.LM("openai/gpt-4o-mini", api_key=KEY)
    served = all_of_them.take(own)
    assert all_of_them.take(own) is served
    assert all_of_them.take(served) is served
    warmer = served.copy(temperature=0.9)
    assert all_of_them.take(warmer) is warmer
    assert len(all_of_them.standing()) == 1


def test_a_program_served_before_is_taken_anew() -> None:
    """A module that an earlier service in this process took belongs to the later one, with its settings."""
    earlier, later = upstreams(), upstreams()
    served = earlier.take(dspy.LM("openai/gpt-4o-mini", api_key=KEY)).copy(temperature=0.9)
    again = later.take(served)
    assert seam_of(again) is not seam_of(served)
    assert seam_of(again) is seam_of(later.take(dspy.LM("openai/gpt-4o-mini", api_key=KEY)))
    assert again.kwargs["temperature"] == 0.9


def test_generation_settings_survive() -> None:
    """The program's author chose them; retries and the cache are the service's."""
    own = dspy.LM("openai/gpt-4o-mini", api_key=KEY, timeout=5, temperature=0.3, max_tokens=77, stop=["\n"])
    served = upstreams().take(own)
    assert served.kwargs == {"temperature": 0.3, "max_tokens": 77, "stop": ["\n"]}
    assert served.num_retries == 0
    assert served.cache is False
    assert own.kwargs["api_key"] == KEY


async def test_a_custom_engine_is_called_through_the_seam() -> None:
    """An LM that brings its own engine keeps it, behind breaker and limits."""
    transport = ScriptedTransport(said(answer="4"))
    all_of_them = attached()
    served = all_of_them.take(scripted_lm(transport))
    with dspy.context(lm=served):
        assert (await dspy.Predict("question -> answer").acall(question="2+2")).answer == "4"
    assert len(transport.requests) == 1
    assert len(all_of_them.standing()) == 1


async def test_a_sync_engine_is_called_in_a_thread() -> None:
    """An engine without an async side does not block the loop."""

    class SyncOnly:
        def complete(self, request: lm15.Request) -> lm15.Response:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return response(said(answer="4"))

    served = attached().take(dspy.LM("own", engine=SyncOnly()))
    with dspy.context(lm=served):
        assert (await dspy.Predict("question -> answer").acall(question="2+2")).answer == "4"


async def test_dspy_s_own_double_can_be_served() -> None:
    """``DummyLM`` is no ``dspy.LM`` but has an engine: programs are tried out with it."""
    all_of_them = attached()
    served = all_of_them.take(DummyLM([{"answer": "red"}, {"answer": "blue"}]))
    with dspy.context(lm=served):
        answers = [(await dspy.Predict("question -> answer").acall(question="?")).answer for _ in range(2)]
    assert answers == ["red", "blue"]
    assert len(all_of_them.standing()) == 1


def test_an_lm_without_an_engine_is_refused() -> None:
    """DSPy's old plugin interface cannot be brought to the seam; the message says what can."""

    class Plugin(dspy.BaseLM):  # type: ignore[misc] # DSPy has no types
        pass

    with pytest.raises(LoadError, match=r"a Plugin; only dspy\.LM"):
        upstreams().take(Plugin("x"))


def test_a_model_string_that_says_nothing_is_refused_at_the_start() -> None:
    """A wrong setting stops the start with a message, not with a traceback."""
    with pytest.raises(LoadError, match="'openai/'"):
        upstreams(model="openai/").configured()


def test_a_model_that_dspy_has_no_way_to_is_refused_at_the_start() -> None:
    """The native client was asked for by name, and there is none."""
    with pytest.raises(LoadError, match="nowhere/x"):
        upstreams().take(dspy.LM("nowhere/x", engine="lm15"))


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    """Such as what stands for one in an example."""
    with pytest.raises(LoadError, match="its address 'API_BASE' is no http"):
        upstreams().take(dspy.LM("openai/x", api_base="API_BASE"))


def test_the_configured_model_goes_before_the_program_s_default() -> None:
    """What the operator chose counts; what nobody chose gives way to the program's own."""
    own = dspy.LM("openai/gpt-4o")
    assert upstreams(model="openai/gpt-4o-mini").configured(own).model == "openai/gpt-4o-mini"
    assert upstreams(model=OFFLINE_MODEL, chosen=False).configured(own).model == "openai/gpt-4o"
    assert upstreams(model=OFFLINE_MODEL, chosen=False).configured().model == OFFLINE_MODEL


def test_standing_and_reset() -> None:
    """Each upstream's breaker can be read, and closed by hand."""
    all_of_them = upstreams()
    lm = all_of_them.take(dspy.LM("openai/gpt-4o-mini"))
    other = all_of_them.take(dspy.LM("openai/gpt-4o"))
    seam_of(lm).breaker.ask().failure()

    assert all_of_them.standing() == (
        Upstream("openai/gpt-4o-mini", "open", 30.0),
        Upstream("openai/gpt-4o", "closed", 0.0),
    )
    assert isinstance(all_of_them.refusal(lm), CircuitBreakerOpenError)
    assert all_of_them.refusal(other) is None

    all_of_them.reset()
    assert all_of_them.refusal(lm) is None


async def test_closing_closes_every_connection() -> None:
    """All seams and all sidelines."""
    transport = ScriptedTransport("x")
    all_of_them = attached()
    served = all_of_them.take(scripted_lm(transport))
    seam_of(served).transport = transport
    await all_of_them.aclose()
    assert transport.closed


def test_a_deep_copy_stays_at_the_seam() -> None:
    """DSPy's BestOfN and Refine copy whole modules for each attempt."""
    served = upstreams().take(dspy.LM("openai/gpt-4o-mini"))
    assert seam_of(copy.deepcopy(served)) is seam_of(served)
