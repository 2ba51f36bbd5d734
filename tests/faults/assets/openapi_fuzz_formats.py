"""What the document's own string formats mean, for the fuzzer."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

_PRINTABLE = st.characters(exclude_categories=("C", "Z"), exclude_characters="\N{REPLACEMENT CHARACTER}")

schemathesis.openapi.format(
    "printable",
    st.builds("{} {}".format, st.text(_PRINTABLE, min_size=1, max_size=63), st.text(_PRINTABLE, max_size=64))
    | st.text(_PRINTABLE, min_size=1, max_size=128),
)
