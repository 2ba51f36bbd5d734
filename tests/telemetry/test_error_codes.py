from __future__ import annotations

from agent_service.core.errors import Fault, MalformedRequestError, UpstreamError
from agent_service.telemetry.error_codes import FAULTS


def test_every_error_class_has_its_code_and_fault() -> None:
    """Codes are computed from the classes, also from those that inherit their code."""
    assert FAULTS[UpstreamError.code] is Fault.UPSTREAM
    assert FAULTS[MalformedRequestError.code] is Fault.CALLER
    assert len(FAULTS) == 24
