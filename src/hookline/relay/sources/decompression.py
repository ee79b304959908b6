"""Unpacks gzip and zstd, step by step: what comes out of a step is bounded, so that a bomb costs time, not memory."""

from __future__ import annotations

import re
import sys
import zlib
from enum import Enum
from typing import Protocol

from hookline.errors import HooklineError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

MAX_MAGIC_BYTES = 10
_PIECE = 1024
_LAST = 8  # the length of gzip's trailer, of which the checksum is the first half
_CHECKSUM = 4
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # a frame, or a skippable one (RFC 8878, 3.1)
_REFUSED = ((re.compile(rb"\xfd7zXZ\x00"), "xz"), (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2"))
_PREFIXES = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", *(b"BZh%d1AY&SY" % level for level in range(1, 10)),
             *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))  # fmt: skip


class Compression(Enum):
    """What the first bytes of a file say that it is."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"
    UNKNOWN = "unknown"  # too few bytes to tell


def compression_of(head: bytes) -> Compression:
    """By the first LONGEST_MAGIC bytes, or all of a shorter file."""
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    if _ZSTD.match(head):
        return Compression.ZSTD
    for magic, program in _REFUSED:
        if magic.match(head):
            return Compression(program)
    return Compression.UNKNOWN if any(prefix.startswith(head) for prefix in _PREFIXES) else Compression.PLAIN


def refuse_compression(name: str, packing: Compression) -> None:
    """Said once and at the door: as lines, a compressed file would become so many dead letters."""
    if packing in {Compression.XZ, Compression.BZIP2}:
        program = packing.value
        source = "standard input" if name == "-" else name
        raise HooklineError(
            f"{source} is compressed ({program})",
            hint=f"gzip and zstd are read as they are; pipe this in: {program} -dc {name} | hookline relay -",
        )


class DamagedArchive(Exception):
    """What is packed cannot be unpacked from here on. The text says why."""


class _Member(Protocol):
    """One member (gzip) or frame (zstd): some input in, at most `most` bytes out."""

    def decompress(self, data: bytes, most: int) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def request_refill(self) -> bool: ...

    @property
    def left(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.request_refill = True

    def decompress(self, data: bytes, most: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, most)
        # A full step may have left something inside of zlib even when all input is consumed.
        self.request_refill = len(out) < most and not self._inner.unconsumed_tail
        return out

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def left(self) -> bytes:
        return self._inner.unused_data


class _Zstd:
    def __init__(self) -> None:
        self._inner = ZstdDecompressor()

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._inner.decompress(data, most)

    @property
    def request_refill(self) -> bool:
        return self._inner.needs_input

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def left(self) -> bytes:
        return self._inner.unused_data


class Decompressor:
    """Packed bytes in, the others out. Several members or frames in a row are one stream."""

    def __init__(self) -> None:
        self._input = b""
        self._member: _Member | None = None
        self._any = False

    @property
    def whole(self) -> bool:
        """Whether all that came in has come out and the last member has its end: more may follow, but need not."""
        return self._member is None and self._any and not self._input.strip(b"\0")

    def feed(self, data: bytes) -> None:
        self._input += data

    def next(self, most: int) -> bytes:
        """At most so many bytes; empty when more input is needed. Raises Damaged."""
        while True:
            if self._member is None and not self._begin():
                return b""
            assert self._member is not None
            if self._member.request_refill and not self._input:
                return b""
            out = self._step(self._member, most)
            if self._member.eof:
                self._input = self._member.left + self._input
                self._member = None
            if out:
                return out

    def _step(self, member: _Member, most: int) -> bytes:
        # An error takes with it what the same step would have given. So the steps are small, and the check at a
        # member's end is a step of its own.
        size = min(_PIECE, max(len(self._input) - _LAST, 0)) or _CHECKSUM
        piece = self._input[:size] if member.request_refill else b""
        self._input = self._input[len(piece) :]
        try:
            return member.decompress(piece, most)
        except (zlib.error, ZstdError) as error:
            raise DamagedArchive(str(error)) from error

    def _begin(self) -> bool:
        """Start on the next member, when its beginning is there."""
        if self._any:
            self._input = self._input.lstrip(b"\0")  # padding, as gzip takes it
        kind = compression_of(self._input[:MAX_MAGIC_BYTES])
        if not self._input or (kind is Compression.UNKNOWN and len(self._input) < MAX_MAGIC_BYTES):
            return False
        if kind not in {Compression.GZIP, Compression.ZSTD}:
            raise DamagedArchive("what follows the compressed data is no compressed data")
        self._member = _Gzip() if kind is Compression.GZIP else _Zstd()
        self._any = True
        return True
