"""Identities: of requests, turns and leases."""

from __future__ import annotations

import random
import uuid


def new_id() -> str:
    """A random UUID (RFC 9562, version 4). Unique, also among forked processes; no secret to anybody."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
