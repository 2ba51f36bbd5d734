"""What a plan was made of, to tell whether it still holds: signatures and demos change in place."""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.programs.fast.internals import fields_of
from agent_service.programs.fast.plans.values import IMMUTABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

_annotation, _default, _extra = map(operator.attrgetter, ("annotation", "default", "json_schema_extra"))
_RECORDS = frozenset({dict, dspy.Example})
_CONTAINERS = frozenset({dict, list, tuple})


class NoPlanError(Exception):
    """There is no fast way; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """A signature and its demonstrations as they were."""

    instructions: str
    fields: Mapping[str, FieldInfo]
    order: Sequence[FieldInfo]
    annotations: Sequence[Any]
    defaults: Sequence[Any]
    extras: Sequence[Mapping[str, Any]]
    demos: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, signature: Any, demos: Any) -> Snapshot:
        """Take it.

        Raises:
            NoPlanError: when a demonstration is of a kind that cannot be compared later.
        """
        if type(demos) is not list:
            raise NoPlanError(f"the demonstrations are a {type(demos).__name__}")
        fields = signature.model_fields
        order = list(fields.values())
        return cls(
            instructions=signature.__doc__,
            fields=fields,
            order=order,
            annotations=list(map(_annotation, order)),
            defaults=list(map(_default, order)),
            extras=[dict(field.json_schema_extra) for field in order],
            demos=[_copied(demo) for demo in demos],
        )

    def still(self, signature: Any, demos: Any) -> bool:
        """Whether nothing has changed."""
        order = self.order
        return (
            signature.__doc__ is self.instructions
            and len(demos) == len(self.demos)
            and all(map(operator.is_, self.fields.values(), order))
            and all(map(operator.is_, map(_annotation, order), self.annotations))
            and all(map(operator.is_, map(_default, order), self.defaults))
            and list(map(_extra, order)) == self.extras
            and all(map(_unchanged, demos, self.demos))
        )


def _copied(demo: Any) -> dict[str, Any]:
    if type(demo) not in _RECORDS:
        raise NoPlanError(f"a demonstration is a {type(demo).__name__}")
    snapshot = {}
    for name, value in fields_of(demo).items():
        kind = type(value)
        if kind not in IMMUTABLE and kind not in _CONTAINERS:
            raise NoPlanError(f"the field {name} of a demonstration is a {kind.__name__}")
        try:
            snapshot[name] = copy.deepcopy(value)
        except Exception as error:
            raise NoPlanError(f"the field {name} of a demonstration cannot be copied: {error}") from error
    return snapshot


def _unchanged(demo: Any, snapshot: Mapping[str, Any]) -> bool:
    if type(demo) not in _RECORDS:
        return False
    fields = fields_of(demo)
    return len(fields) == len(snapshot) and all(
        name in snapshot
        and (value is snapshot[name] or (type(value) is type(snapshot[name]) and value == snapshot[name]))
        for name, value in fields.items()
    )
