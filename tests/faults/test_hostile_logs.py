"""Nobody writes into the log but the service (row B2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.faults.aftermath import log_lines
from tests.faults.at_rest import ASSETS
from tests.faults.raw_http import exchange, get, post, query

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service

_LINE = '{"timestamp":"2026-01-01T00:00:00.000Z","level":"critical","logger":"root","event":"forged"}'
FORGERIES = (
    f"\n{_LINE}\n",
    f"\r\n{_LINE}",
    f'"}}\n{_LINE}',
    f"\x0b\x0c\x1c\x85\u2028\u2029{_LINE}",
    "\x1b[2J\x1b[31mforged\x1b[0m",
    "\x9b31mforged\x07\x08\x7f",
    _LINE,
    '", "event": "forged',
    "%(asctime)s %s {event} forged",
)
SETTINGS = {
    "LOG_LEVEL": "info,agent_service=debug",
    "PYTHONPATH": str(ASSETS),
    "AGENT_PROGRAM": "leaking_program:program",
}


def _attack(service: Service) -> None:
    """Put each forgery wherever a caller's words go, into what the program logs too."""
    for forgery in FORGERIES:
        assert service.ask(f"{forgery} echo").status_code == 200
        for field in ("user_id", "session_id", "question", "forged\n"):
            fields = {"user_id": "ada", "question": "What is 2+2?", field: forgery}
            exchange(service.url(), post(json.dumps(fields).encode()))
        escaped = b"".join(b"%%%02x" % byte for byte in forgery.encode())
        for target in (b"/api/v1/users/%s/history", b"/docs/assets/%s", b"/%s", b"/api/v1/live?%s=%s"):
            exchange(service.url(), get(target.replace(b"%s", escaped)))
        for name in ("X_Request_ID", "User_Agent", "X_Request_Timeout", "Accept", "Cookie", "Host"):
            exchange(service.url(), query(**{name: forgery.encode()}))
        exchange(service.url(), get(b"/api/v1/live", method=forgery.encode()))


def test_every_line_of_the_json_log_is_an_object_of_ours(serve: Callable[..., Service]) -> None:
    """What callers send is a value in a line or nowhere; no line is theirs."""
    service = serve(**SETTINGS)

    _attack(service)

    lines = log_lines(service)
    assert len(lines) > 100
    assert [line["asked"] for line in lines if "asked" in line] == [
        f"{forgery} echo" for forgery in FORGERIES
    ]
    assert all(line["event"] != "forged" and line["level"] != "critical" for line in lines)
    assert {line["logger"].split(".")[0] for line in lines} == {"agent_service", "leaking_program"}
    assert any(line.get("user_id") == _LINE for line in lines), "what is printable is logged as it is"


def test_no_control_character_reaches_the_terminal(serve: Callable[..., Service]) -> None:
    """The pretty format shows what callers send escaped; each line begins as ours do."""
    service = serve(LOG_FORMAT="pretty", **SETTINGS)

    _attack(service)

    assert len(service.lines) > 100
    assert [line for line in service.lines if not line.isprintable()] == []
    assert [line for line in service.lines if not line.startswith("20")] == []
