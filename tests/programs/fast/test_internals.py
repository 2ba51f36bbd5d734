"""What is taken from DSPy's inside behaves as DSPy does; an upgrade that changes it is seen here first."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy.dsp.utils.settings import thread_local_overrides

from agent_service.programs.fast import internals

QA = dspy.Signature("question -> answer, number: int")
QUIET: dict[str, Any] = {"disable_history": True, "track_usage": False, "warn_on_type_mismatch": False}


def failing(number: int) -> str:
    """It fails."""
    raise ValueError(number)


def test_a_prediction_is_the_one_dspy_makes() -> None:
    """With the same fields, completions and attributes."""
    fields = {"answer": "a", "number": 1}
    here, there = (
        internals.prediction_of(fields, QA),
        dspy.Prediction.from_completions([fields], signature=QA),
    )
    assert repr(here) == repr(there)
    assert vars(here).keys() == vars(there).keys()
    assert vars(here.completions) == vars(there.completions)
    assert (here, here.answer, here.get_lm_usage()) == (there, there.answer, there.get_lm_usage())


@pytest.mark.parametrize(
    "extract",
    [
        dspy.Prediction(reasoning="r", answer="a"),
        dspy.Prediction.from_completions([{"answer": "a"}], signature=QA),
        dspy.Prediction(answer="a", dspy_split="kept back"),
        {"answer": "a"},
    ],
)
def test_an_agents_prediction_is_the_one_dspy_makes(extract: Any) -> None:
    """Fields in their order, without those that DSPy keeps back, and nothing of the extract's own."""
    here = internals.agent_prediction({"thought_0": "t"}, extract)
    there = dspy.Prediction(trajectory={"thought_0": "t"}, **extract)
    assert (repr(here), list(vars(here).items())) == (repr(there), list(vars(there).items()))


@pytest.mark.parametrize("name", ["trajectory", "base"])
def test_an_output_that_clashes_with_the_agents_own_is_left_to_dspy(name: str) -> None:
    """It raises, or takes the value for something else."""

    def outcome(make: Any) -> str:
        try:
            return repr(make())
        except TypeError as error:
            return type(error).__name__

    extract = dspy.Prediction.from_completions([{name: {"x": 1}}])
    assert outcome(lambda: internals.agent_prediction({}, extract)) == outcome(
        lambda: dspy.Prediction(trajectory={}, **extract)
    )


@pytest.mark.parametrize(
    ("settings", "quiet"),
    [
        ({}, True),
        ({"adapter": dspy.ChatAdapter()}, True),
        ({"adapter": dspy.ChatAdapter(callbacks=[object()])}, False),
        ({"adapter": dspy.ChatAdapter(use_native_function_calling=True)}, True),
        ({"adapter": dspy.ChatAdapter(use_json_adapter_fallback=False)}, False),
        ({"adapter": dspy.ChatAdapter(native_response_types=[dspy.Image])}, False),
        ({"adapter": dspy.ChatAdapter(parallel_tool_calls=True)}, False),
        ({"adapter": dspy.JSONAdapter()}, True),
        ({"adapter": dspy.JSONAdapter(use_native_function_calling=False)}, True),
        ({"adapter": dspy.JSONAdapter(parallel_tool_calls=True)}, False),
        ({"adapter": dspy.XMLAdapter()}, False),
        ({"callbacks": [object()]}, False),
        ({"send_stream": object()}, False),
        ({"track_usage": True}, False),
        ({"usage_tracker": object()}, False),
        ({"disable_history": False}, False),
        ({"warn_on_type_mismatch": True}, False),
    ],
)
def test_settings_are_quiet_when_nobody_listens(settings: dict[str, Any], quiet: bool) -> None:
    """And the adapter is one that is as DSPy makes it."""
    with dspy.context(**{**QUIET, **settings}):
        assert internals.is_quiet(internals.settings_in_effect()) is quiet


def test_an_adapter_with_methods_of_its_own_is_not_quiet() -> None:
    """Set on the object itself."""
    adapter = dspy.ChatAdapter()
    adapter.format = adapter.parse
    with dspy.context(**QUIET, adapter=adapter):
        assert not internals.is_quiet(internals.settings_in_effect())


def test_settings_are_read_as_they_hold() -> None:
    """Those of the innermost context, else the configured ones."""
    assert internals.settings_in_effect()["lm"] is dspy.settings.lm
    with dspy.context(lm=1), dspy.context(num_threads=2):
        assert (internals.settings_in_effect()["lm"], internals.settings_in_effect()["num_threads"]) == (1, 2)


def test_settings_that_a_worker_thread_sets_alone_are_completed() -> None:
    """``dspy.Parallel`` gives its threads a usage tracker and nothing else."""
    token = thread_local_overrides.set({"usage_tracker": 1})
    try:
        settings = internals.settings_in_effect()
    finally:
        thread_local_overrides.reset(token)
    assert (settings["usage_tracker"], settings["callbacks"]) == (1, dspy.settings.callbacks)


def test_the_innermost_caller_is_named_while_it_calls() -> None:
    """As ``dspy.Module`` does, and no longer."""
    outer, inner = dspy.Predict("a -> b"), dspy.Predict("a -> b")
    with dspy.context(caller_modules=[outer]):
        with internals.Calling(inner, internals.settings_in_effect()):
            assert dspy.settings.caller_modules == [outer, inner]
        assert dspy.settings.caller_modules == [outer]


async def test_a_failing_tool_is_observed_in_dspys_words() -> None:
    """Traceback included, at the lines where DSPy has it."""
    tools = {"failing": dspy.Tool(failing)}
    choice = dspy.Prediction(next_thought="t", next_tool_name="failing", next_tool_args={"number": 1})
    for observed in (
        internals.stock_observation(tools, choice),
        await internals.astock_observation(tools, choice),
    ):
        assert observed.startswith("Execution error in failing: \nTraceback")
        assert observed.endswith("ValueError: 1")
        assert "react.py" in observed


def test_the_finishing_tool_is_known() -> None:
    """ReAct's own, not a tool of that name."""
    assert internals.is_stock_finish(dspy.ReAct("q -> a", tools=[]).tools["finish"])
    assert not internals.is_stock_finish(dspy.Tool(lambda: "Completed.", name="finish"))
