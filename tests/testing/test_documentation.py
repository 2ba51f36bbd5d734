"""docs/testing.md keeps what it promises."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
async def test_its_tests_pass(snippet: str) -> None:
    """Each of them, as a reader copies it."""
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(snippet, PAGE.name, "exec", dont_inherit=True), names)  # noqa: S102 - our own documentation
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        if inspect.iscoroutinefunction(test):
            await test()
        else:
            await asyncio.to_thread(test)
