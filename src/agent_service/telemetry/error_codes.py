"""The closed set of error codes, with whose fault each is: computed from the errors themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.errors import Fault, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator


def _classes(root: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in root.__subclasses__():
        yield child
        yield from _classes(child)


FAULTS: dict[str, Fault] = {error.code: error.fault for error in _classes(ServiceError)}
"""Fault by error code; the keys are every code there is."""
