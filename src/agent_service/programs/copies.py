"""Copies of modules, each to be given a state of its own."""

from __future__ import annotations

import copy
from contextlib import suppress
from types import MethodType
from typing import TYPE_CHECKING, Any

import dspy
from dspy.clients.base_lm import BaseLM

from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTS = (dspy.Module, dspy.Tool, MethodType, dict, list, tuple)
"""What may hold, or be bound to, other parts of a program: it is copied with them."""


def copied(module: dspy.Module) -> dspy.Module:
    """Another module like ``module``, with predictors of its own.

    Language models are the same, and so is what cannot be copied, such as a lock or a connection. A module is
    copied, and not made again, because what makes it may configure DSPy, open connections or build an index.

    Raises:
        LoadError: a predictor cannot be copied.
    """
    known: dict[int, Any] = {}
    for value in _attributes(module):
        known = _with_copy(value, known)
    try:
        made: dspy.Module = copy.deepcopy(module, known)
    except Exception:  # noqa: BLE001 - whatever a part of it has against being copied
        made = module.deepcopy()
    if _shares_predictors(made, module):
        raise LoadError(
            "the program cannot be copied, as releases need it: a list or dict of predictors holds others"
        )
    return made


def _attributes(module: dspy.Module) -> Iterator[Any]:
    for _, part in module.named_sub_modules():
        yield from vars(part).values()


def _with_copy(value: Any, known: dict[int, Any]) -> dict[int, Any]:
    """``known`` copies, with that of an attribute, or with the attribute itself."""
    if isinstance(value, _PARTS):
        return known
    made = dict(known)  # what a failed copy leaves is half made
    if not isinstance(value, BaseLM):
        with suppress(Exception):  # what can be copied is known by trying
            copy.deepcopy(value, made)
            return made
    return {**known, id(value): value}


def _shares_predictors(one: dspy.Module, other: dspy.Module) -> bool:
    predictors = {id(predictor) for _, predictor in other.named_parameters()}
    return any(id(predictor) in predictors for _, predictor in one.named_parameters())
