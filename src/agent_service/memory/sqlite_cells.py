"""Texts and rows of the SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import apsw


def to_cell(text: str) -> str | bytes:
    """Text as it is; bytes where a lone surrogate keeps it from being UTF-8."""
    if text.isascii():
        return text
    encoded = text.encode("utf-8", "surrogatepass")
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return encoded
    return text


def from_cell(cell: str | bytes) -> str:
    """The text that ``to_cell`` was given."""
    return cell if isinstance(cell, str) else cell.decode("utf-8", "surrogatepass")


def rows_of(connection: apsw.Connection, sql: str, bindings: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """All rows at once, so that no statement stays open behind the transaction."""
    return connection.execute(sql, bindings).fetchall()
