"""What a file holds, whether it is packed or not: bytes, piece by piece."""

from __future__ import annotations

from typing import Protocol

from hookline.relay.sources.packing import Damaged, Unpacker
from hookline.relay.sources.raw import RawFile, Replaced

_STEP = 64 * 1024


class Content(Protocol):
    """The bytes of a file from some place on."""

    @property
    def raw(self) -> RawFile: ...

    @property
    def at_definite_end(self) -> bool:
        """Whether nothing more is to be expected: a compressed stream is at its end, or is damaged."""
        ...

    @property
    def damage(self) -> str | None:
        """Why nothing more can come out, or would be missing if nothing more came in."""
        ...

    def next(self, size: int) -> bytes:
        """At most `size` bytes; none at the end for now. Raises raw.Replaced."""
        ...


class Plain:
    """Content that is what it is."""

    at_definite_end = False
    damage = None

    def __init__(self, raw: RawFile) -> None:
        self.raw = raw

    def next(self, size: int) -> bytes:
        return self.raw.next(size)


class Unpacked:
    """What a compressed file unpacks to, from its beginning."""

    def __init__(self, raw: RawFile) -> None:
        self.raw = raw
        self._unpacker = Unpacker()
        self._broken: str | None = None

    @property
    def at_definite_end(self) -> bool:
        return self._broken is not None or (self._unpacker.whole and self.raw.offset == self.raw.size)

    @property
    def damage(self) -> str | None:
        return self._broken or (None if self._unpacker.whole else "it ends too early")

    def next(self, size: int) -> bytes:
        """Goes on until something comes out, or the file has nothing more; a damaged one has nothing more."""
        while self._broken is None:
            try:
                if out := self._unpacker.next(size):
                    return out
            except Damaged as error:
                self._broken = str(error)
                break
            if not (chunk := self.raw.next(_STEP)):
                break
            self._unpacker.feed(chunk)
        return b""


class ReadBefore:
    """A compressed file that was read to its end before: while its size is the same there is nothing new in it."""

    at_definite_end = True
    damage = None

    def __init__(self, raw: RawFile) -> None:
        self._size = raw.size
        self.raw = RawFile(raw.descriptor, raw.size)

    def next(self, size: int) -> bytes:
        if self.raw.next(size) or self.raw.size != self._size:
            raise Replaced(0)
        return b""
