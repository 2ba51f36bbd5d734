"""The twins of predictors take the short way when they can, and are DSPy's own to everybody."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped] # it has no types
import dspy
import pytest

from agent_service.programs.fast import accelerate
from agent_service.programs.fast.internals import settings_in_effect
from agent_service.programs.fast.predict import (
    FastChainOfThought,
    FastPredict,
    is_unobserved,
)
from tests.programs.conftest import said

if TYPE_CHECKING:
    from pathlib import Path

    from tests.programs.fast.conftest import Sides

MAKERS = [lambda: dspy.Predict("question -> answer"), lambda: dspy.ChainOfThought("question -> answer")]
ANSWER = said(reasoning="sum", answer="4")


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.usefixtures("no_stock")
async def test_the_short_way_is_taken(make: Any, sides: Sides) -> None:
    """A plain question of a plain program needs nothing of DSPy's own calls."""
    record = await sides.fast(make, ANSWER)
    assert record.outcomes[0] != "error"
    assert len(record.requests) == 1


@pytest.mark.parametrize("make", MAKERS)
async def test_request_prediction_and_trace_are_dspys(make: Any, sides: Sides) -> None:
    """For a right answer, and for one that has to be asked for again."""
    assert await sides.differ(make, ANSWER) == {}
    assert await sides.differ(make, "what?", '{"reasoning": "r", "answer": "4"}') == {}
    assert await sides.differ(make, "what?", "what?") == {}
    assert await sides.differ(make, "", '{"reasoning": "r", "answer": "4"}') == {}


async def test_an_unreadable_answer_is_asked_for_again(sides: Sides) -> None:
    """Once, by the JSON adapter."""
    record = await sides.fast(MAKERS[0], "what?", '{"answer": "4"}')
    assert len(record.requests) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"disable_history": False},
        {"track_usage": True},
        {"warn_on_type_mismatch": True},
        {"adapter": dspy.JSONAdapter()},
        {"adapter": dspy.ChatAdapter(use_json_adapter_fallback=False)},
        {"trace": None},
        {"max_trace_size": 1},
    ],
    ids=lambda settings: next(iter(settings)),
)
@pytest.mark.parametrize("make", MAKERS)
async def test_settings_mean_what_they_mean_to_dspy(
    make: Any, settings: dict[str, Any], sides: Sides
) -> None:
    """Whether they are served here or left to DSPy."""
    assert await sides.differ(make, ANSWER, settings=lambda _: settings) == {}


@pytest.mark.parametrize("name", ["forward", "aforward", "_should_stream"])
@pytest.mark.parametrize("make", MAKERS)
def test_methods_replaced_on_one_object_are_dspys_to_call(make: Any, name: str) -> None:
    """As optimisers do for a while."""
    module = accelerated(make)
    with dspy.context(disable_history=True, warn_on_type_mismatch=False):
        assert is_unobserved(module, settings_in_effect())
        setattr(module, name, None)
        assert not is_unobserved(module, settings_in_effect())


async def test_a_wrong_call_is_dspys_error(sides: Sides) -> None:
    """Positional arguments, missing and unknown inputs."""
    for inputs in ({"other": "x"}, {}, {"question": "q", "other": "x"}, {"question": "q", "lm": "gpt"}):
        assert await sides.differ(MAKERS[0], ANSWER, inputs=inputs) == {}
    with pytest.raises(ValueError, match="Positional"):
        accelerated(MAKERS[0])("q")
    with pytest.raises(ValueError, match="Positional"):
        await accelerated(MAKERS[0]).acall("q")


@pytest.mark.parametrize("make", MAKERS)
def test_a_twin_passes_for_the_stock_module(make: Any) -> None:
    """Its type, text and source are shown to people and, by optimisers, to language models."""
    twin, stock = accelerated(make), make()
    assert isinstance(twin, type(stock))
    assert repr(twin) == repr(stock)
    assert inspect.getsource(type(twin)) == inspect.getsource(type(stock))
    assert [name for name, _ in twin.named_predictors()] == [name for name, _ in stock.named_predictors()]
    assert twin.dump_state() == stock.dump_state()


@pytest.mark.parametrize("make", MAKERS)
def test_copies_are_twins_and_pickles_are_stock(make: Any) -> None:
    """A copy within the service stays fast; a file can be read where the service is not installed."""
    twin = accelerated(make)
    for copied in (copy.copy(twin), copy.deepcopy(twin), twin.deepcopy(), twin.reset_copy()):
        assert type(copied) in {FastPredict, FastChainOfThought}
        assert copied.dump_state() == twin.dump_state()
        assert copied is not twin
    loaded = cloudpickle.loads(cloudpickle.dumps(twin))
    assert type(loaded) is type(make())
    assert loaded.dump_state() == twin.dump_state()


def test_state_is_saved_and_loaded(tmp_path: Path) -> None:
    """In both directions between twin and stock module."""
    twin, stock = accelerated(MAKERS[1]), MAKERS[1]()
    twin.predict.demos = [{"question": "q", "answer": "a"}]
    twin.save(tmp_path / "state.json")
    stock.load(tmp_path / "state.json")
    assert stock.dump_state() == twin.dump_state()


def accelerated(make: Any) -> Any:
    """The twin of what it makes."""
    module = make()
    accelerate(module)
    return module
