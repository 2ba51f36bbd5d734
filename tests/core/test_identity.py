"""Identities are random UUIDs."""

from __future__ import annotations

import subprocess
import sys
import uuid

from agent_service.core.identity import new_id


def test_an_identity_is_a_random_uuid() -> None:
    """Version 4 in its usual form, and another one each time."""
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 4 for one in ids)


def test_processes_that_are_forked_have_identities_of_their_own() -> None:
    """A worker does not repeat what its parent or its siblings hand out."""
    script = (
        "import os; from agent_service.core.identity import new_id; new_id()\n"
        "for _ in range(2):\n"
        "    if not os.fork(): print(new_id(), flush=True); os._exit(0)\n"
        "    os.wait()\n"
        "print(new_id())"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

    assert len(set(told.stdout.split())) == 3
