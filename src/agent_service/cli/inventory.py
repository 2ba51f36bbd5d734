"""The releases of a program in the terminal."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_service.releases.base import Release
    from agent_service.releases.operator import Inventory

_HEADINGS = ("VERSION", "ADDED (UTC)", "ANSWERS", "NOTE")


def standing_of(inventory: Inventory) -> str:
    """Which version answers whom, in words."""
    standing = inventory.standing
    if standing.canary is None:
        return f"{standing.active} answers everybody"
    return (
        f"{standing.canary} answers {standing.percent:g} % of the conversations, {standing.active} the others"
    )


def lines_of(inventory: Inventory) -> list[str]:
    """A line on who answers, and a table of what there is."""
    from agent_service.releases.standing import BASE

    rows = [_HEADINGS, (BASE, "-", _share(inventory, BASE), "the program without one")]
    rows += [
        (each.version, f"{_added_at(each):%Y-%m-%d %H:%M}", _share(inventory, each.version), each.note)
        for each in inventory.releases
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, widths, strict=True) for row in rows)
    table = ["  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in lines]
    return [f"{inventory.program}: {standing_of(inventory)}.", *table]


def document_of(inventory: Inventory) -> dict[str, Any]:
    """The same for programs."""
    releases = [
        {"version": each.version, "added_at": _added_at(each).isoformat(), "note": each.note}
        for each in inventory.releases
    ]
    return {"program": inventory.program, **asdict(inventory.standing), "releases": releases}


def _share(inventory: Inventory, version: str) -> str:
    standing = inventory.standing
    if version == standing.canary:
        return f"{standing.percent:g} %, on trial"
    if version == standing.active:
        return "everybody" if standing.canary is None else f"{100 - standing.percent:g} %"
    return "-"


def _added_at(release: Release) -> datetime:
    return datetime.fromtimestamp(release.added_at_epoch_seconds, timezone.utc).replace(microsecond=0)
