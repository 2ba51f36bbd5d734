"""A program's releases and their standing as bytes, the same on every shelf."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent_service.releases.base import Release, ReleaseError
from agent_service.releases.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_ledger(releases: Sequence[Release], standing: Standing) -> bytes:
    """A JSON object that people can read too."""
    ledger = {"releases": [asdict(release) for release in releases], "standing": asdict(standing)}
    return json.dumps(ledger, indent=2).encode()


def read_ledger(ledger: bytes) -> tuple[tuple[Release, ...], Standing]:
    """What ``write_ledger`` wrote.

    Raises:
        ReleaseError: it is something else.
    """
    try:
        found = json.loads(ledger)
        standing = {**found["standing"], "earlier": tuple(found["standing"]["earlier"])}
        return tuple(Release(**release) for release in found["releases"]), Standing(**standing)
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the list of releases cannot be read: {error!r}") from error
