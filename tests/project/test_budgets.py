from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
FILE_LINES = 300
CLASS_LINES = 200
FUNCTION_LINES = 50


def _too_long(kind: type[ast.stmt] | tuple[type[ast.stmt], ...], limit: int) -> list[str]:
    return [
        f"{path.name}: {getattr(node, 'name', '?')}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, kind) and (node.end_lineno or 0) - node.lineno + 1 > limit
    ]


def test_no_file_is_longer_than_its_budget() -> None:
    """One noun per file; a longer one holds two."""
    assert not [
        path.name
        for path in SOURCE.rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > FILE_LINES
    ]


def test_no_class_is_longer_than_its_budget() -> None:
    """A class that cannot be read at one sitting has too many jobs."""
    assert _too_long(ast.ClassDef, CLASS_LINES) == []


def test_no_function_is_longer_than_its_budget() -> None:
    """A function fits on a screen."""
    assert _too_long((ast.FunctionDef, ast.AsyncFunctionDef), FUNCTION_LINES) == []
