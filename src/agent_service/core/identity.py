"""Identities: of requests, turns and leases."""

from __future__ import annotations

import random

_KEPT = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
"""Where a UUID says its version and variant (RFC 9562, section 5.4)."""


def new_id() -> str:
    """A random UUID (RFC 9562, version 4). Unique, also among forked processes; no secret to anybody."""
    digits = f"{random.getrandbits(128) & _KEPT | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
