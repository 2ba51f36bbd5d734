"""A program's saved state, read so that a file cannot do more than say what a prompt holds.

DSPy's own loading sets any attribute that a file names, builds language models from it, and does not look
whether the fields are the program's (dspy/predict/predict.py, ``load_state``).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
from dspy.signatures.signature import infer_prefix

from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION_DIGITS = 12
"""Of the SHA-256 of a file, which is its version."""

_KEYS = frozenset({"demos", "fields", "lm", "signature", "traces", "train"})
_SIGNATURE_KEYS = frozenset({"fields", "instructions"})
_NOT_SERVED = ("traces", "train")
_LISTS = ("demos", *_NOT_SERVED)
_ITSELF = "self"
"""DSPy's name for a program that is one predictor, whose state it saves without a name."""
_MAX_BYTES = 64 * 1024 * 1024
_TOOL = re.compile(r"^\(\d+\) (\S+?)(?:, whose|\. It takes)", re.MULTILINE)
_TOOLS = re.compile(r"The available tools are: (.*)\.")
_QUOTED = re.compile(r"`([^`]+)`")


def read_state(name: str) -> bytes:
    """The state in the file of this name.

    Raises:
        LoadError: it cannot be read, is no file of JSON, or is too long.
    """
    path = Path(name)
    if path.is_dir() or path.suffix in {".pkl", ".pickle"}:
        raise LoadError(
            f"{path} is a pickle, which can run any code when it is read. "
            'Save the state as JSON: program.save("state.json")'
        )
    if path.suffix != ".json":
        raise LoadError(f'{path} is no .json file; save the state with program.save("state.json")')
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise LoadError(f"the state in {path} cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_BYTES:
        raise LoadError(f"the state in {path} is longer than {_MAX_BYTES // 1024**2} MiB")
    return data


def load_state(module: dspy.Module, data: bytes, *, source: str) -> str:
    """Put a state into ``module``; returns its version.

    Models stay those of the settings and of the program's code, whatever the state says of them.

    Args:
        module: takes it.
        data: the content of a file of ``program.save("x.json")``.
        source: whence it comes, for messages.

    Raises:
        LoadError: it is not what ``program.save("x.json")`` writes of this very program. The module is
            as it was then.
    """
    state = _parsed(source, data)
    if isinstance(module, dspy.Predict):
        state = {_ITSELF: state}
    predictors: dict[str, Any] = dict(module.named_parameters())
    missing, unknown = predictors.keys() - state.keys(), state.keys() - predictors.keys()
    if missing or unknown:
        told = [f"it lacks {', '.join(sorted(missing))}"] if missing else []
        told += [f"the program has no {', '.join(sorted(unknown))}"] if unknown else []
        raise LoadError(f"the state in {source} is of another program: {'; '.join(told)}")
    for name, predictor in predictors.items():
        _check(f"{source}: {name}", predictor, state[name])
    _apply(source, predictors, state)
    return hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]


def _apply(source: str, predictors: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    loaded = {name: {**state[name], "lm": None, **{key: [] for key in _NOT_SERVED}} for name in predictors}
    try:
        for name, predictor in predictors.items():
            trial = predictor.deepcopy()
            trial.load_state(loaded[name])
            _format(trial)
    except Exception as error:
        raise LoadError(f"the state in {source} cannot be loaded: {type(error).__name__}: {error}") from error
    for name, predictor in predictors.items():
        own = predictor.lm
        predictor.load_state(loaded[name])
        predictor.lm = own


def _format(predictor: Any) -> None:
    """Write its prompt once, as a call would: what cannot be written is found before the first query."""
    adapter = dspy.settings.adapter or dspy.ChatAdapter()
    inputs = {
        name: "text" for name, field in predictor.signature.input_fields.items() if field.annotation is str
    }
    adapter.format(predictor.signature, predictor.demos, inputs)


def _parsed(source: str, data: bytes) -> dict[str, Any]:
    try:
        state = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{source} is not valid JSON: {error}") from error
    if not isinstance(state, dict) or not isinstance(state.get("metadata"), dict):
        raise LoadError(f'{source} is not what program.save("state.json") writes: it has no metadata')
    del state["metadata"]
    return state


def _check(where: str, predictor: Any, state: Any) -> None:
    if not isinstance(state, dict) or not isinstance(state.get("signature"), dict):
        raise LoadError(f"{where} has no signature")
    unknown = sorted({*state} - _KEYS) + sorted({*state["signature"]} - _SIGNATURE_KEYS)
    if unknown:
        raise LoadError(f"{where} holds {', '.join(unknown)}, which is not loaded from a file")
    for name in _LISTS:
        if not isinstance(state.get(name, []), list):
            raise LoadError(f"{where}: {name} is no list")
    _check_fields(where, predictor.signature, state["signature"].get("fields"))
    _check_demos(where, predictor.signature, state.get("demos", []))
    _check_tools(where, predictor.signature.instructions, state["signature"].get("instructions"))


def _check_fields(where: str, signature: Any, saved: Any) -> None:
    """DSPy saves no names, only what stands before each field; optimisers rewrite that of the last output."""
    own = [f"{infer_prefix(name)}:" for name in signature.fields]
    is_list = isinstance(saved, list) and all(isinstance(field, dict) for field in saved)
    theirs = [str(field.get("prefix")) for field in saved] if is_list else []
    prefixes = [field.json_schema_extra["prefix"] for field in signature.fields.values()]
    same = [name in {inferred, prefix} for name, inferred, prefix in zip(theirs, own, prefixes, strict=False)]
    if len(theirs) != len(own) or not all(same[:-1]):
        raise LoadError(
            f"{where} has other fields than the program: "
            f"{', '.join(theirs) or 'none'} in the file, {', '.join(own)} in the program"
        )


def _check_demos(where: str, signature: Any, demos: list[Any]) -> None:
    for demo in demos:
        if not isinstance(demo, dict):
            raise LoadError(f"{where}: an example is no object")
        if demo and not {*demo} & {*signature.fields}:
            raise LoadError(f"{where}: an example has none of the program's fields: {', '.join(demo)}")


def _check_tools(where: str, own: str, saved: Any) -> None:
    """An agent's instructions list its tools: those of the file must be the program's."""
    if not isinstance(saved, str):
        raise LoadError(f"{where} has no instructions")
    ours, theirs = _tools_in(own), _tools_in(saved)
    if ours and theirs and ours != theirs:
        raise LoadError(
            f"{where} was saved with other tools: {', '.join(sorted(theirs))} in the file, "
            f"{', '.join(sorted(ours))} in the program; optimise it again"
        )


def _tools_in(instructions: str) -> set[str]:
    """The tools that DSPy's ReAct, or its second version, tells a model of."""
    listed = _TOOLS.search(instructions)
    return {*_TOOL.findall(instructions), *(_QUOTED.findall(listed[1]) if listed else ())}
