"""Compressed bodies, undone step by step, so that no step unfolds more than it should."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from dspy._vendor.lm15.transports import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STEP_BYTES = 64 * 1024
_GZIP_BITS = 16 + zlib.MAX_WBITS
_PLAIN = {"", "identity"}
_KNOWN = {"gzip", "x-gzip", "deflate"}
_HEADER_BYTES = 2  # of zlib, RFC 1950


class Unfolding:
    """Undoes ``gzip`` (RFC 1952, several members too) or ``deflate`` (RFC 1950, or bare RFC 1951)."""

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding != "deflate"
        self._start = b""
        self._is_open = False
        self._inflater = zlib.decompressobj(_GZIP_BITS) if self._is_gzip else None

    def __repr__(self) -> str:
        return f"<Unfolding {'gzip' if self._is_gzip else 'deflate'}>"

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What ``piece`` unfolds to, at most 64 KiB at a time.

        Raises:
            ProtocolError: when it is malformed.
        """
        self._start += piece
        if self._inflater is None and len(self._start) < _HEADER_BYTES:
            return
        data, self._start = self._start, b""
        inflater = self._inflater = self._inflater or zlib.decompressobj(_deflate_bits(data))
        more = False
        while data or more:
            if inflater.eof:
                data = data.lstrip(b"\0")  # padding
                if not data:
                    return
                inflater = self._inflater = self._next_member()
            self._is_open = True
            try:
                unfolded = inflater.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                raise ProtocolError("the body is compressed, and malformed") from error
            data = inflater.unconsumed_tail or inflater.unused_data
            self._is_open = not inflater.eof
            more = len(unfolded) == _STEP_BYTES  # there may be more of what is taken in already
            if unfolded:
                yield unfolded

    def end(self) -> None:
        """Nothing more comes.

        Raises:
            ProtocolError: when something is missing.
        """
        if self._start or self._is_open:
            raise ProtocolError("the compressed body ends too early")

    def _next_member(self) -> zlib._Decompress:
        if not self._is_gzip:
            raise ProtocolError("something follows the compressed body")
        return zlib.decompressobj(_GZIP_BITS)


def check_codings(codings: Sequence[str]) -> str:
    """The one coding that the ``Content-Encoding`` headers name; empty for none.

    Raises:
        ProtocolError: for two codings, each of which could unfold a thousand times, and for unknown ones.
    """
    coding = ",".join(codings).strip().lower()
    if coding not in _PLAIN | _KNOWN:
        raise ProtocolError("the body is compressed more than once, or in a way that was not asked for")
    return coding if coding in _KNOWN else ""


def _deflate_bits(data: bytes) -> int:
    """Whether the zlib header that the standard asks for is there; some servers leave it out."""
    method, flags = data[0], data[1]
    wrapped = method & 0x0F == zlib.DEFLATED and (method << 8 | flags) % 31 == 0
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
