"""A saved state is read without trusting the file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.programs.loader import LoadError
from agent_service.programs.state import load_state, read_state

if TYPE_CHECKING:
    from collections.abc import Callable


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def other(word: str) -> str:
    """Something else."""
    return word


def optimised(module: dspy.Module) -> dspy.Module:
    """With other instructions, a demonstration and a model, as an optimiser leaves it."""
    for _, predictor in module.named_predictors():
        predictor.signature = predictor.signature.with_instructions(
            predictor.signature.instructions + "\nBe brief."
        )
        fields = list(predictor.signature.fields)
        predictor.demos = [dspy.Example(augmented=True, **dict.fromkeys(fields, "said"))]
        predictor.lm = dspy.LM("openai/gpt-evil", api_key="k", temperature=0.3)
    return module


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., str]:
    """Saves a program, perhaps edits the file, and gives its path."""

    def save(module: dspy.Module, edit: Callable[[dict[str, Any]], None] | None = None) -> str:
        path = tmp_path / "state.json"
        optimised(module).save(str(path))
        state = json.loads(path.read_text(encoding="utf-8"))
        if edit is not None:
            edit(state)
        path.write_text(json.dumps(state), encoding="utf-8")
        return str(path)

    return save


@pytest.mark.parametrize(
    "make",
    [
        lambda: dspy.Predict("question -> answer"),
        lambda: dspy.ChainOfThought("question -> answer"),
        lambda: dspy.ReAct("question -> answer", tools=[look_up]),
        lambda: dspy.ReActV2("question -> answer", tools=[look_up]),
    ],
)
def test_a_saved_program_is_loaded(saved: Callable[..., str], make: Callable[[], dspy.Module]) -> None:
    """Instructions and demonstrations come from the file, models never; the version is the content's."""
    path = saved(make())
    module = make()
    own = dspy.LM("openai/mine")
    first = module.predictors()[0]
    first.lm = own

    version = load_state(module, read_state(path), source=path)

    for predictor in module.predictors():
        assert "Be brief." in predictor.signature.instructions
        assert len(predictor.demos) == 1
        assert predictor.lm in {None, own}
        assert predictor.traces == []
    assert first.lm is own
    assert version == hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def _set(*keys: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(state: dict[str, Any]) -> None:
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = to

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_set("predict", "config", to={"api_base": "http://evil"}), "config, which is not loaded"),
        (_set("predict", "signature", "extra", to=1), "extra, which is not loaded"),
        (_set("predict", "callbacks", to=[]), "callbacks"),
        (_set("predict", "demos", to="x"), "demos is no list"),
        (_set("predict", "demos", to=["x"]), "an example is no object"),
        (_set("predict", "demos", to=[{"topic": "x"}]), "none of the program's fields: topic"),
        (_set("predict", "signature", "fields", to=[]), "none in the file, Question:, Reasoning:, Answer:"),
        (_set("predict", "signature", "instructions", to=None), "no instructions"),
        (_set("predict", "signature", to="x"), "has no signature"),
        (_set("predict", to=[]), "has no signature"),
        (_set("another", to={}), "the program has no another"),
        (lambda state: state.pop("predict"), "it lacks predict"),
        (lambda state: state.pop("metadata"), "no metadata"),
    ],
)
def test_what_is_not_of_the_program_is_refused(saved: Callable[..., str], edit: Any, says: str) -> None:
    """The message names the file and what is in it, and the module stays as it was."""
    path = saved(dspy.ChainOfThought("question -> answer"), edit)
    module = dspy.ChainOfThought("question -> answer")
    before = module.dump_state()

    with pytest.raises(LoadError) as refused:
        load_state(module, read_state(path), source=path)

    assert says in str(refused.value)
    assert path in str(refused.value)
    assert module.dump_state() == before


def test_other_fields_are_shown(saved: Callable[..., str]) -> None:
    """Both sides, so that it is plain which is old."""
    path = saved(dspy.Predict("question, context -> answer"))
    with pytest.raises(LoadError, match="Context:, Answer: in the file, Question:, Answer: in the"):
        load_state(dspy.Predict("question -> answer"), read_state(path), source=path)


def test_the_last_prefix_may_be_an_optimisers(saved: Callable[..., str]) -> None:
    """DSPy's COPRO rewrites it."""
    fields = [{"prefix": "Question:", "description": ""}, {"prefix": "So:", "description": ""}]
    path = saved(dspy.Predict("question -> answer"), _set("signature", "fields", to=fields))
    module = dspy.Predict("question -> answer")

    load_state(module, read_state(path), source=path)

    assert module.signature.output_fields["answer"].json_schema_extra["prefix"] == "So:"


@pytest.mark.parametrize("agent", [dspy.ReAct, dspy.ReActV2])
def test_other_tools_are_refused(saved: Callable[..., str], agent: Any) -> None:
    """Else the prompt would offer what the program has not."""
    path = saved(agent("question -> answer", tools=[look_up]))
    with pytest.raises(LoadError, match=r"look_up.* in the file, .*other.* in the program"):
        load_state(agent("question -> answer", tools=[other]), read_state(path), source=path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.pkl", b"", "is a pickle, which can run any code"),
        ("x.txt", b"", "is no .json file"),
        ("x.json", b"{", "is not valid JSON"),
        ("x.json", b"[" * 100_000, "is not valid JSON"),
        ("x.json", b"[]", "no metadata"),
    ],
)
def test_what_is_no_saved_state_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """A pickle is never opened."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LoadError, match=says):
        load_state(dspy.Predict("question -> answer"), read_state(str(path)), source=name)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    """``save_program=True`` makes a folder with a pickle."""
    with pytest.raises(LoadError, match="is a pickle"):
        read_state(str(tmp_path))
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        read_state(str(tmp_path / "absent.json"))
