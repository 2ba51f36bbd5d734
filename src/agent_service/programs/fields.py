"""The fields of a program: what a caller may send, what comes back. Nothing else reaches a module.

DSPy's modules take privileged arguments (``config``, ``lm``, ``demos`` ...); one of them sends the key to
any host. So inputs are named by the signature, never by the request.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from agent_service.programs.base import ProgramSpec
from agent_service.programs.conversation import is_conversation, takes
from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dspy

_QUESTION = "question"
_ANSWER = "answer"
_REASONING = "reasoning"


@dataclass(frozen=True)
class Fields:
    """Names and types of a module's inputs and outputs; ``optional`` inputs have a default."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    optional: frozenset[str] = frozenset()
    conversation: str | None = None
    conversation_type: Any = None

    @property
    def question_input(self) -> str:
        """The input a plain question goes to: by its name, else the only text that must be given.

        Raises:
            LoadError: when there is no telling which.
        """
        texts = [name for name in _texts(self.inputs) if name not in self.optional]
        return _the_one(_QUESTION, self.inputs, texts, "input")

    @property
    def answer_output(self) -> str:
        """The output that is the plain answer: by its name, else the only one, else the only text.

        Raises:
            LoadError: when there is no telling which.
        """
        answers = {name: kind for name, kind in self.outputs.items() if name != _REASONING}
        return _the_one(
            _ANSWER, self.outputs, list(answers) if len(answers) == 1 else _texts(answers), "output"
        )


def fields_of(module: dspy.Module) -> Fields:
    """Read a module's fields from its signature, else from ``forward`` and its last predictor.

    Raises:
        LoadError: when they cannot be told.
    """
    signature = getattr(module, "signature", None)
    predictors = [predictor for _, predictor in module.named_predictors()]
    if signature is None and len(predictors) == 1:
        signature = predictors[0].signature
    source = signature if signature is not None else (predictors[-1].signature if predictors else None)
    inputs, optional = _own_parameters(module)
    if signature is not None and not inputs:
        inputs = {name: field.annotation for name, field in signature.input_fields.items()}
        optional = {name for name, field in signature.input_fields.items() if not field.is_required()}
    if source is None or not inputs:
        raise LoadError(f"{type(module).__name__} has no signature or predictor to tell its fields from")
    outputs = {name: field.annotation for name, field in source.output_fields.items()}
    conversation = next((name for name, kind in inputs.items() if is_conversation(name, kind)), None)
    kind = None if conversation is None else inputs.pop(conversation)
    return Fields(inputs, outputs, frozenset(optional), conversation, kind)


def spec_of(name: str, model: str, fields: Fields, tools: tuple[str, ...]) -> ProgramSpec:
    """What the service needs to know of a program.

    Raises:
        LoadError: when there is no place in it for a question or no answer.
    """
    return ProgramSpec(
        name=name,
        model=model,
        inputs=tuple(fields.inputs),
        outputs=tuple(fields.outputs),
        question_input=fields.question_input,
        answer_output=fields.answer_output,
        tools=tools,
    )


def _own_parameters(module: dspy.Module) -> tuple[dict[str, Any], set[str]]:
    """The named parameters of ``aforward`` or ``forward``, where a class of the user's names them.

    With them the names of those that have a default. DSPy's own modules name only what is not a caller's.
    """
    for name in ("aforward", "forward"):
        method = getattr(type(module), name, None)
        if method is None or method.__module__.startswith("dspy."):
            continue
        named = [
            parameter
            for parameter in list(inspect.signature(method).parameters.values())[1:]
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        ]
        if named:
            optional = {parameter.name for parameter in named if parameter.default is not parameter.empty}
            return {parameter.name: _type_of(parameter, method) for parameter in named}, optional
    return {}, set()


def _type_of(parameter: inspect.Parameter, method: Any) -> Any:
    """The type behind an annotation, which may be written as text. Where there is none, a text is meant."""
    if parameter.annotation is parameter.empty:
        return str
    alone = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return get_type_hints(alone, inspect.unwrap(method).__globals__)[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError):
        return str


def _texts(fields: Mapping[str, Any]) -> list[str]:
    return [name for name, kind in fields.items() if takes(str, kind)]


def _the_one(preferred: str, fields: Mapping[str, Any], candidates: list[str], kind: str) -> str:
    if preferred in fields:
        return preferred
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(fields) or "none"
    raise LoadError(f"none of the program's {kind}s ({listed}) is named {preferred} or is its only text")
