"""What was compiled for each predictor: a plan by adapter, and by LM what it is asked with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from agent_service.programs.fast.internals import settings_in_effect, state_of
from agent_service.programs.fast.lean_lm import LeanLM, is_lean
from agent_service.programs.fast.lm_internals import AdapterKind, abilities, kind_of
from agent_service.programs.fast.plans.plan import Plan
from agent_service.programs.fast.plans.snapshot import NoPlanError
from agent_service.programs.fast.plans.tool_plan import ToolPlan

if TYPE_CHECKING:
    import dspy

_MOST_LMS = 8
"""LMs remembered by one predictor; programs that copy theirs at each call would fill the memory."""


@dataclass
class Ways:
    """What was compiled for one predictor."""

    plan: Plan | ToolPlan
    leans: dict[int, LeanLM | Refused] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """There is no plan for this, and looking again would find the same."""

    reason: str
    of: tuple[Any, ...]


_WAYS: defaultdict[AdapterKind, WeakKeyDictionary[dspy.Predict, Ways | Refused]] = defaultdict(
    WeakKeyDictionary
)
"""By the adapter in use."""


def reason_against(predict: dspy.Predict) -> str | None:
    """Why a predictor's calls stay with DSPy whatever its LM; None when they need not. Compiles its plan."""
    adapter = settings_in_effect()["adapter"]
    kind = kind_of(adapter)
    if kind is None:
        return f"the adapter is a {type(adapter).__name__}, or one with options"
    ways = ways_of(predict, state_of(predict), kind)
    return ways.reason if isinstance(ways, Refused) else None


def prepare(predict: dspy.Predict, lm: dspy.LM) -> None:
    """Compile what calls of ``predict`` need, as far as it does not depend on the tools that it is given."""
    state, kind = state_of(predict), kind_of(settings_in_effect()["adapter"])
    lm = state["lm"] or lm
    if kind is None or not is_lean(lm):
        return
    ways = ways_of(predict, state, kind)
    if isinstance(ways, Ways) and ways.plan.tools is None:
        lean_of(ways, lm, state["config"], {})


def ways_of(predict: dspy.Predict, state: dict[str, Any], kind: AdapterKind) -> Ways | Refused:
    """What is compiled for ``predict``, whose attributes ``state`` is, as long as it still holds."""
    signature, demos = state["signature"], state["demos"]
    known = _WAYS[kind].get(predict)
    if isinstance(known, Ways) and known.plan.holds(signature, demos):
        return known
    of = (signature, signature.__doc__, id(demos), len(demos) if type(demos) is list else 0)
    if isinstance(known, Refused) and known.of == of:
        return known
    found: Ways | Refused
    try:
        found = Ways(_plan(signature, demos, kind))
    except NoPlanError as error:
        found = Refused(str(error), of)
    _WAYS[kind][predict] = found
    return found


def _plan(signature: Any, demos: Any, kind: AdapterKind) -> Plan | ToolPlan:
    try:
        return Plan.of(signature, demos, kind)
    except NoPlanError:
        return ToolPlan.of(signature, demos, kind)


def lean_of(ways: Ways, lm: dspy.LM, config: dict[str, Any], values: dict[str, Any]) -> LeanLM | None:
    """How ``lm`` is asked with such ``values``; None where it is for DSPy to ask."""
    try:
        offered = ways.plan.offered(values)
    except Exception:  # noqa: BLE001 - DSPy says what is wrong with the tools
        return None
    known = ways.leans.get(id(lm))
    if isinstance(known, LeanLM) and known.holds(lm, config, offered):
        return known
    of = (lm, repr(lm.kwargs), repr(config), abilities(lm), offered)
    if isinstance(known, Refused) and known.of == of:
        return None
    found: LeanLM | Refused
    try:
        found = LeanLM.of(lm, config, ways.plan, values)
    except NoPlanError as error:
        found = Refused(str(error), of)
    if len(ways.leans) >= _MOST_LMS:
        ways.leans.clear()
    ways.leans[id(lm)] = found
    return found if isinstance(found, LeanLM) else None


def share(predict: dspy.Predict, copied: dspy.Predict) -> None:
    """Programs copy their parts for each attempt: a copy has what was compiled for the original."""
    for ways in list(_WAYS.values()):
        known = ways.get(predict)
        if known is not None:
            ways[copied] = known
