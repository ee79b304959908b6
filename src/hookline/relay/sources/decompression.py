"""Decompresses gzip, zstd, xz and bzip2 in bounded steps, so that a decompression bomb costs time, not memory."""

from __future__ import annotations

import sys
import zlib
from enum import Enum
from typing import Any, Final, Protocol

from hookline.errors import HooklineError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

# Python can be built without these two.
try:
    import bz2
except ImportError:
    bz2 = None  # type: ignore[assignment]
try:
    import lzma
except ImportError:
    lzma = None  # type: ignore[assignment]

MAX_XZ_MEMORY_BYTES: Final = 128 * 1024 * 1024  # `xz -9` needs 65 MiB
_MAX_MAGIC_BYTES = 10
_STEP_BYTES = 1024
_TRAILER_BYTES = 8  # the length of gzip's trailer, of which the checksum is the first half
_CHECKSUM_BYTES = 4


class Compression(Enum):
    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"
    UNKNOWN = "unknown"  # too few bytes to decide


_MAGIC = {
    Compression.GZIP: (b"\x1f\x8b",),
    # A frame, or a skippable one (RFC 8878, 3.1).
    Compression.ZSTD: (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))),
    Compression.XZ: (b"\xfd7zXZ\x00",),
    Compression.BZIP2: tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)),
}


PACKED: Final = frozenset({
    *(Compression.GZIP, Compression.ZSTD),
    *((Compression.XZ,) if lzma else ()),
    *((Compression.BZIP2,) if bz2 else ()),
})  # fmt: skip
"""The compressions that are read."""


def compression_of(head: bytes) -> Compression:
    """Returns the compression, by the first bytes of a file, or all bytes of a short one."""
    for compression, beginnings in _MAGIC.items():
        if head.startswith(beginnings):
            return compression
        if any(beginning.startswith(head) for beginning in beginnings):
            return Compression.UNKNOWN
    return Compression.PLAIN


def refuse_compression(name: str, compression: Compression) -> None:
    """Raises HooklineError for xz and bzip2 if this Python cannot decompress them. Read as lines, such a file would
    become many dead letters.
    """
    program = compression.value
    if compression in {Compression.XZ, Compression.BZIP2} - PACKED:
        source = "standard input" if name == "-" else name
        raise HooklineError(
            f"{source} is compressed ({program})",
            hint=f"this Python lacks {program}; use a pipe: {program} -dc {name} | hookline relay -",
        )


class _Member(Protocol):
    """One member, frame or stream, as bz2, lzma and zstd decompress it."""

    @property
    def needs_input(self) -> bool: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """One member of gzip, with the interface that ZstdDecompressor has for one frame."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    def decompress(self, data: bytes, max_bytes: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_bytes)
        # After a full step zlib may still hold output, even if all input is consumed.
        self.needs_input = len(out) < max_bytes and not self._inner.unconsumed_tail
        return out

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


# OSError: bz2 finds invalid data.
_ERRORS: Final = (zlib.error, ZstdError, OSError, ValueError, EOFError, *((lzma.LZMAError,) if lzma else ()))


def _new_member(kind: Compression) -> Any:
    match kind:
        case Compression.GZIP:
            return _Gzip()
        case Compression.XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY_BYTES)
        case Compression.BZIP2:
            return bz2.BZ2Decompressor()
        case _:
            return ZstdDecompressor()


class Decompressor:
    """Decompresses a stream of members or frames. `damage` is the reason why it cannot continue, if it cannot."""

    def __init__(self) -> None:
        self.damage: str | None = None
        self._input = b""
        self._member: _Member | None = None
        self._has_members = False

    @property
    def is_complete(self) -> bool:
        """Whether all input was decompressed and the last member has its end. Another member may follow."""
        return self._member is None and self._has_members and not self._input.strip(b"\0")

    def feed(self, data: bytes) -> None:
        if self.damage is None:
            self._input += data

    def next(self, max_bytes: int) -> bytes:
        """Returns at most `max_bytes`, or nothing if more input is needed or the data is damaged."""
        while self.damage is None:
            if self._member is None and not self._begin():
                return b""
            assert self._member is not None
            if self._member.needs_input and not self._input:
                return b""
            out = self._step(self._member, max_bytes)
            if self._member.eof:
                self._input = self._member.unused_data + self._input
                self._member = None
            if out:
                return out
        return b""

    def _step(self, member: _Member, max_bytes: int) -> bytes:
        # An error loses the output of its step. The steps are therefore small, and the check at a member's end is a
        # step of its own.
        size = min(_STEP_BYTES, max(len(self._input) - _TRAILER_BYTES, 0)) or _CHECKSUM_BYTES
        piece = self._input[:size] if member.needs_input else b""
        self._input = self._input[len(piece) :]
        try:
            return member.decompress(piece, max_bytes)
        except _ERRORS as error:
            self.damage = str(error)
            return b""

    def _begin(self) -> bool:
        """Starts the next member. Returns False if its beginning is incomplete."""
        if self._has_members:
            self._input = self._input.lstrip(b"\0")  # padding, which gzip also accepts
        kind = compression_of(self._input)
        if not self._input or (kind is Compression.UNKNOWN and len(self._input) < _MAX_MAGIC_BYTES):
            return False
        if kind not in PACKED:
            self.damage = "other data follows the compressed data"
            return False
        self._member = _new_member(kind)
        self._has_members = True
        return True
