"""Everything on a module that calls a model or a tool is found and taken to its seam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.programs.base import LMOptions
from agent_service.programs.lm.engines import SyncSeamEngine
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.loader import LoadError
from agent_service.programs.seams import SeamTaker
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import SeamTool, ToolSeam
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import make_seam

if TYPE_CHECKING:
    from agent_service.programs.lm.seam import LMSeam, Transport

QA = "question -> answer"


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def submit(order: str) -> str:
    """Submit an order."""
    return order


@pytest.fixture
def taker() -> SeamTaker:
    """One that has met nothing."""
    clock, observer, bridge = FakeClock(), RecordingObserver(), LoopBridge()

    def make(model: str, transport: Transport) -> LMSeam:
        return make_seam(model, transport, clock=clock, observer=observer)

    tools = ToolSeam(threads=WorkThreads("tool", size=1), bridge=bridge, timeout_seconds=1.0)
    return SeamTaker(upstreams=Upstreams(make_seam=make, options=LMOptions(), bridge=bridge), tools=tools)


def at_seam(lm: Any) -> bool:
    """Whether the LM's calls go through a seam."""
    return isinstance(lm.engine, SyncSeamEngine)


def test_lms_of_predictors_at_any_depth(taker: SeamTaker) -> None:
    """An LM set on a whole program, and one on a single part in a list or dictionary of it."""

    class Inner(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self) -> None:
            super().__init__()
            self.steps = [dspy.ChainOfThought(QA)]
            self.named = {"a": dspy.Predict(QA)}

    class Outer(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()
            self.judge = dspy.LM("openai/gpt-4o")
            self.panel = [self.judge, (dspy.LM("openai/gpt-4o-mini"),)]

    module = Outer()
    module.set_lm(dspy.LM("openai/gpt-4o"))
    taker.take(module)

    lms = [predictor.lm for predictor in module.predictors()]
    assert len(lms) == 2
    assert all(map(at_seam, lms))
    assert at_seam(module.judge)
    assert module.panel[0] is module.judge
    assert at_seam(module.panel[1][0])
    assert module.get_lm() is lms[0]


def test_a_predictor_that_names_no_lm_still_names_none(taker: SeamTaker) -> None:
    """It uses the service's, which each run brings along."""
    module = dspy.Predict(QA)
    taker.take(module)
    assert module.lm is None


def test_an_agent_s_tools_are_taken_and_named(taker: SeamTaker) -> None:
    """All but the step that ends the agent, which is no tool."""
    module = dspy.ReAct(QA, tools=[look_up])
    taker.take(module)
    assert isinstance(module.tools["look_up"], SeamTool)
    assert not isinstance(module.tools["finish"], SeamTool)
    assert taker.tool_names == ("look_up",)


def test_a_tool_with_an_agent_s_last_word_for_a_name_is_a_tool(taker: SeamTaker) -> None:
    """ReAct ends with ``finish``: its ``submit`` does something. ReActV2 ends with ``submit``."""
    agent = dspy.ReAct(QA, tools=[submit])
    other = dspy.ReActV2(QA, tools=[look_up])
    taker.take(agent)
    taker.take(other)
    assert isinstance(agent.tools["submit"], SeamTool)
    assert not isinstance(other.tools["submit"], SeamTool)
    assert isinstance(other.tools["look_up"], SeamTool)
    assert taker.tool_names == ("submit", "look_up")


async def test_only_agents_are_told_of_failures_in_words(taker: SeamTaker) -> None:
    """Any other owner of a tool gets the exception."""

    def fail() -> None:
        raise KeyError("x")

    class Owner(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self) -> None:
            super().__init__()
            self.tool = dspy.Tool(fail)
            self.agent = dspy.ReAct(QA, tools=[fail])

    module = Owner()
    taker.take(module)
    with pytest.raises(KeyError):
        module.tool()
    assert module.agent.tools["fail"]().startswith("Execution error in fail: KeyError")


def test_what_is_no_concern_of_the_seams_is_left_alone(taker: SeamTaker) -> None:
    """The very objects stay: a program may hold on to them."""
    module = dspy.ReAct(QA, tools=[look_up])
    module.notes = {"a": [1, 2]}
    module.react.demos = [{"question": "?", "tools": [dspy.Tool(look_up)]}]
    notes, demos, signature = module.notes, module.react.demos, module.signature
    taker.take(module)
    assert module.notes is notes
    assert module.react.demos is demos
    assert not isinstance(demos[0]["tools"][0], SeamTool)
    assert module.signature is signature


def test_taking_twice_changes_nothing_more(taker: SeamTaker) -> None:
    """A module that is served by two services in turn is counted once."""
    module = dspy.ReAct(QA, tools=[look_up])
    module.set_lm(dspy.LM("openai/gpt-4o"))
    taker.take(module)
    lm = module.react.lm
    taker.take(module)
    assert module.react.lm is lm
    assert not isinstance(module.tools["look_up"].stock, SeamTool)
    assert taker.tool_names == ("look_up",)


def test_a_copied_module_is_at_the_seams(taker: SeamTaker, caplog: pytest.LogCaptureFixture) -> None:
    """DSPy's BestOfN and Refine copy the whole module for each query, and must do so without complaints."""
    module = dspy.ReAct(QA, tools=[look_up])
    module.set_lm(dspy.LM("openai/gpt-4o"))
    taker.take(module)
    twin = module.deepcopy()
    assert at_seam(twin.react.lm)
    assert isinstance(twin.tools["look_up"], SeamTool)
    assert caplog.records == []


def test_a_model_of_the_old_kind_is_refused(taker: SeamTaker) -> None:
    """What cannot be brought to the seam would escape breaker, limits and stops."""

    class Plugin(dspy.BaseLM):  # type: ignore[misc] # DSPy has no types
        pass

    module = dspy.Predict(QA)
    module.lm = Plugin("x")
    with pytest.raises(LoadError, match="Plugin"):
        taker.take(module)
