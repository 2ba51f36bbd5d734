"""Whether there is what DSPy runs generated code with: without it every query of such a program fails."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import dspy
from dspy.primitives.code_interpreter import resolve_interpreter_factory

_DENO = "deno"
_RUN_CODE = (dspy.ProgramOfThought, dspy.RLM)


def lacks_sandbox(module: dspy.Module) -> bool:
    """Whether a part of ``module`` runs code in DSPy's own sandbox, whose Deno is not here."""
    parts = [part for _, part in module.named_sub_modules() if isinstance(part, _RUN_CODE)]
    factories = [resolve_interpreter_factory(getattr(part, "_interpreter_factory", None)) for part in parts]
    is_there = shutil.which(_DENO) is not None or find_spec(_DENO) is not None
    return dspy.PythonInterpreter in factories and not is_there
