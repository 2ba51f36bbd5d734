"""What the fuzzer cannot read in the document: its string formats, what a key is for, the program's name."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import schemathesis
from hypothesis import strategies as st

if TYPE_CHECKING:
    from schemathesis import Case, HookContext

_MAX_KEY_CHARS = 255
_PRINTABLE = st.characters(exclude_categories=("C", "Z"), exclude_characters="\N{REPLACEMENT CHARACTER}")

schemathesis.openapi.format(
    "printable",
    st.builds("{} {}".format, st.text(_PRINTABLE, min_size=1, max_size=63), st.text(_PRINTABLE, max_size=64))
    | st.text(_PRINTABLE, min_size=1, max_size=128),
)


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, object]) -> None:
    """Valid cases share keys, expect made-up conversations and ask other models: all rightly refused."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = "default"
    if not case.headers:
        return
    case.headers.pop("If-Match", None)
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{uuid.uuid4()}{case.headers['Idempotency-Key']}"[:_MAX_KEY_CHARS]
