"""The fields of a program: what a caller may send, what comes back. Nothing else reaches a module.

DSPy's modules take privileged arguments (``config``, ``lm``, ``demos`` ...); one of them sends the key to
any host. So inputs are named by the signature, never by the request.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

import dspy

from agent_service.programs.conversation import is_conversation, takes
from agent_service.programs.loader import LoadError
from agent_service.programs.returns import returned_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

_QUESTION = "question"
_ANSWER = "answer"
_REASONING = "reasoning"


@dataclass(frozen=True)
class Fields:
    """A module's inputs and outputs.

    Attributes:
        inputs: their types by name, the conversation's left out.
        outputs: the same of what it gives.
        optional: inputs that may be left out.
        conversation: the input that the service fills, or None.
        conversation_type: its type.
        infos: what a signature says of inputs: constraints.
        descriptions: what it says of inputs and outputs in words.
        defaults: of the optional inputs.
        promised: outputs that are always there.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    optional: frozenset[str] = frozenset()
    conversation: str | None = None
    conversation_type: Any = None
    infos: Mapping[str, FieldInfo] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    promised: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether one question is all that it needs, and there is one answer."""
        try:
            question, _ = self.question_input, self.answer_output
        except LoadError:
            return False
        return set(self.inputs) - self.optional <= {question} and takes(str, self.inputs[question])

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

    The parameters of a ``forward`` of the user's own are the inputs, whatever the signature says; types and
    descriptions that they lack are those of the fields of the same name. The same holds for what it returns
    by name, where no signature is declared.

    Raises:
        LoadError: when they cannot be told.
    """
    declared = _declared(module)
    predictors = [predictor for _, predictor in module.named_predictors()]
    own = _own_parameters(module)
    signature = declared
    if signature is None and predictors and (own or len(predictors) == 1):
        signature = predictors[-1].signature
    if signature is None or not (own or signature.input_fields):
        raise LoadError(_untold(module, len(predictors)))
    known = {name: info for each in predictors for name, info in each.signature.input_fields.items()}
    known |= signature.input_fields
    parameters = own or {name: _parameter(name, info) for name, info in signature.input_fields.items()}
    inputs = {name: parameter.annotation for name, parameter in parameters.items()}
    conversation = next((name for name, kind in inputs.items() if is_conversation(name, kind)), None)
    kind = None if conversation is None else inputs.pop(conversation)
    defaults = {name: parameters[name].default for name in inputs if _has_default(parameters[name])}
    infos = signature.output_fields if declared is not None else _returned(module, predictors, signature)
    outputs = {name: Any if info is None else info.annotation for name, info in infos.items()}
    told = {name: info for name, info in infos.items() if info is not None}
    return Fields(
        inputs,
        outputs,
        frozenset(defaults),
        conversation,
        kind,
        infos={name: known[name] for name in inputs if name in known and not own},
        descriptions=_descriptions({**known, **told}),
        defaults=defaults,
        promised=frozenset(outputs if declared is not None or not own else ()),
    )


def _returned(module: dspy.Module, predictors: Sequence[Any], signature: Any) -> dict[str, FieldInfo | None]:
    """What ``forward`` returns by name, with what the predictors say of it; else all of the signature's."""
    names = next(filter(None, map(returned_names, _own_methods(module))), ())
    if not names:
        return dict(signature.output_fields)
    given = {name: info for each in predictors for name, info in each.signature.output_fields.items()}
    return {name: given.get(name) for name in names}


def _declared(module: dspy.Module) -> Any:
    """The signature that a module has as an attribute, its class's perhaps, and perhaps as a text."""
    signature = getattr(module, "signature", None)
    return dspy.Signature(signature) if isinstance(signature, str) else signature


def _untold(module: dspy.Module, predictors: int) -> str:
    kind = type(module).__name__
    if not predictors:
        return f"{kind} has no signature or predictor to tell its fields from; give its class a `signature`"
    return (
        f"the inputs of {kind} cannot be told: its forward names none and it has {predictors} predictors; "
        "name them there, or give its class a `signature`"
    )


def _own_parameters(module: dspy.Module) -> dict[str, inspect.Parameter]:
    """The named parameters of ``aforward`` or ``forward``, where a class of the user's names them.

    DSPy's own modules name only what is not a caller's. Types that are left out are those of the predictors'
    inputs of the same name; where there is none, a text is meant.
    """
    for method in _own_methods(module):
        named = [
            parameter
            for parameter in list(inspect.signature(method).parameters.values())[1:]
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        ]
        if named:
            return {
                parameter.name: parameter.replace(annotation=_type_of(parameter, method, module))
                for parameter in named
            }
    return {}


def _own_methods(module: dspy.Module) -> list[Any]:
    """The ``aforward`` and ``forward`` of a class of the user's, as far as it has them."""
    methods = [getattr(type(module), name, None) for name in ("aforward", "forward")]
    return [method for method in methods if method is not None and not method.__module__.startswith("dspy.")]


def _type_of(parameter: inspect.Parameter, method: Any, module: dspy.Module) -> Any:
    """The type behind an annotation, which may be written as text."""
    if parameter.annotation is parameter.empty:
        return _type_in_signatures(parameter.name, module)
    alone = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hints = get_type_hints(alone, inspect.unwrap(method).__globals__, include_extras=True)
        return hints[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError):
        return str


def _type_in_signatures(name: str, module: dspy.Module) -> Any:
    """That of the field of this name in the module's signature or the first predictor that has one."""
    declared = _declared(module)
    signatures = [declared] if declared is not None else []
    signatures += [predictor.signature for _, predictor in module.named_predictors()]
    infos = (signature.input_fields.get(name) for signature in signatures)
    return next((info.annotation for info in infos if info is not None), str)


def _parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    """A field of a signature as a parameter."""
    default = inspect.Parameter.empty if info.is_required() else info.get_default(call_default_factory=True)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=info.annotation
    )


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty


def _descriptions(infos: Mapping[str, FieldInfo]) -> dict[str, str]:
    """What was said of fields; DSPy stands ``${name}`` where nothing was."""
    texts = {name: _text(info) for name, info in infos.items()}
    return {name: text for name, text in texts.items() if text and text != f"${{{name}}}"}


def _text(info: FieldInfo) -> str:
    extra = info.json_schema_extra
    return str(extra.get("desc") or "") if isinstance(extra, dict) else ""


def _texts(fields: Mapping[str, Any]) -> list[str]:
    return [name for name, kind in fields.items() if takes(str, kind)]


def _the_one(preferred: str, fields: Mapping[str, Any], candidates: list[str], kind: str) -> str:
    if preferred in fields:
        return preferred
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(fields) or "none"
    raise LoadError(f"none of the program's {kind}s ({listed}) is named {preferred} or is its only text")
