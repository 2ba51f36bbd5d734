"""Compressed bodies: undone in small steps, and refused when something is wrong with them."""

from __future__ import annotations

import gzip
import zlib

import pytest
from dspy._vendor.lm15.transports import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.lm.http.unfolding import Unfolding, check_codings


def bare(text: bytes) -> bytes:
    """Deflate without the header that it should have."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


def unfolded(coding: str, *pieces: bytes) -> bytes:
    """What ``pieces`` unfold to."""
    unfolding = Unfolding(coding)
    found = b"".join(part for piece in pieces for part in unfolding.feed(piece))
    unfolding.end()
    return found


@given(text=st.binary(), at=st.integers(0, 50))
def test_a_compressed_body_is_undone_however_it_is_cut(text: bytes, at: int) -> None:
    """With every coding that servers mean by the two names; gzip in several members, and padded."""
    for coding, packed in (
        ("gzip", gzip.compress(text)),
        ("gzip", gzip.compress(text[:3]) + gzip.compress(text[3:]) + b"\0\0"),
        ("x-gzip", gzip.compress(text)),
        ("deflate", zlib.compress(text)),
        ("deflate", bare(text)),
    ):
        assert unfolded(coding, packed[:at], packed[at:]) == text


def test_no_step_is_large() -> None:
    """A reader can stop in time."""
    for length in (10_000_000, 64 * 1024, 640 * 1024, 640 * 1024 + 1):
        steps = list(Unfolding("gzip").feed(gzip.compress(b"x" * length)))
        assert max(map(len, steps)) <= 64 * 1024
        assert sum(map(len, steps)) == length


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", b"hello, this is plain"),
        ("gzip", gzip.compress(b"hello")[:-1]),
        ("gzip", gzip.compress(b"hello") + b"rest"),
        ("deflate", zlib.compress(b"hello") + b"rest"),
        ("deflate", b"x"),
        ("deflate", zlib.compress(b"hello")[:-1]),
    ],
    ids=["plain", "cut gzip", "gzip and more", "deflate and more", "one byte", "cut deflate"],
)
def test_a_malformed_body_is_an_error(coding: str, packed: bytes) -> None:
    """Half an answer, or something behind it, is none."""
    with pytest.raises(ProtocolError):
        unfolded(coding, packed)


def test_no_body_at_all_is_no_error() -> None:
    """As with answers that have none, though they name a coding."""
    assert unfolded("gzip") == b""


def test_one_known_coding_is_undone_and_no_more() -> None:
    """Two of them unfold a million times."""
    assert check_codings([]) == check_codings(["identity"]) == check_codings([" "]) == ""
    assert check_codings([" GZip "]) == "gzip"
    for codings in (["gzip", "gzip"], ["gzip, deflate"], ["br"]):
        with pytest.raises(ProtocolError):
            check_codings(codings)
