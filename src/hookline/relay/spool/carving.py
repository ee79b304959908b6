"""Rows out of the pages of a database file, for where SQLite finds its way through them no more.

Every page that holds rows of a table says so in its first byte and can be read by itself; only the way to it may be
lost (https://www.sqlite.org/fileformat2.html, "B-tree Pages" and "Record Format"). What looks like a row and is none
is for the caller to tell. Free pages hold rows as well, but outdated ones: they are passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

# The two that spools were ever made with.
PAGE_SIZES: Final = (8192, 4096)
_TABLE_LEAF: Final = 0x0D
_MOST_COLUMNS: Final = 64
_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Value = int | float | bytes | None
"""Texts are bytes here too: whether they are texts still, is not known yet."""


def page_size_of(header: bytes) -> int:
    """In bytes; where the header of a file does not say it, the size of today."""
    said = int.from_bytes(header[16:18], "big")
    return said if said in PAGE_SIZES else PAGE_SIZES[0]


def carve(path: Path) -> Iterator[tuple[int, list[Value]]]:
    """Every row of every table: its number, and its columns from the first to the last. In no order that matters."""
    with path.open("rb") as file:
        pages = _Pages(file)
        free = pages.free()
        for number in range(2, pages.count + 1):
            if number not in free:
                yield from _rows(pages, pages.read(number))


class _Pages:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = page_size_of(file.read(100))
        self.count = file.seek(0, 2) // self.size

    def read(self, number: int) -> bytes:
        """Raises ValueError for a page that is not there."""
        if not 1 <= number <= self.count:
            raise ValueError(number)
        self._file.seek((number - 1) * self.size)
        return self._file.read(self.size)

    def free(self) -> set[int]:
        """As far as the list of free pages can be followed."""
        found: set[int] = set()
        header = self.read(1) if self.count else bytes(self.size)
        trunk = int.from_bytes(header[32:36], "big")
        while 1 < trunk <= self.count and trunk not in found:
            found.add(trunk)
            page = self.read(trunk)
            trunk, leaves = struct.unpack_from(">II", page)
            if leaves > self.size // 4 - 2:
                break
            found.update(struct.unpack_from(f">{leaves}I", page, 8))
        return found


def _rows(pages: _Pages, page: bytes) -> Iterator[tuple[int, list[Value]]]:
    if page[0] != _TABLE_LEAF:
        return
    cells = int.from_bytes(page[3:5], "big")
    if 8 + 2 * cells > pages.size:
        return
    for place in struct.unpack_from(f">{cells}H", page, 8):
        try:
            yield _row(pages, page, place)
        except (ValueError, IndexError, struct.error):
            continue


def _row(pages: _Pages, page: bytes, place: int) -> tuple[int, list[Value]]:
    length, place = _varint(page, place)
    number, place = _varint(page, place)
    return number - (1 << 64) if number >> 63 else number, _record(_payload(pages, page, place, length))


def _payload(pages: _Pages, page: bytes, place: int, length: int) -> bytes:
    """What of the row is on its page, and the rest from the chain of pages that it goes on in."""
    usable = pages.size
    if length > usable * pages.count:
        raise ValueError(length)
    if length <= usable - 35:
        return _cut(page, place, length)
    least = (usable - 12) * 32 // 255 - 23
    here = least + (length - least) % (usable - 4)
    if here > usable - 35:
        here = least
    parts = [_cut(page, place, here)]
    following = int.from_bytes(_cut(page, place + here, 4), "big")
    missing = length - here
    while missing > 0:
        more = pages.read(following)
        following = int.from_bytes(more[:4], "big")
        parts.append(more[4 : 4 + missing])
        missing -= len(parts[-1])
    return b"".join(parts)


def _record(data: bytes) -> list[Value]:
    header, place = _varint(data, 0)
    kinds = []
    while place < header:
        kind, place = _varint(data, place)
        kinds.append(kind)
    if place != header or len(kinds) > _MOST_COLUMNS:
        raise ValueError(header)
    values = []
    for kind in kinds:
        value, place = _value(data, place, kind)
        values.append(value)
    return values


def _value(data: bytes, place: int, kind: int) -> tuple[Value, int]:
    match kind:
        case 0:
            return None, place
        case 1 | 2 | 3 | 4 | 5 | 6:
            width = _INTEGER_BYTES[kind]
            return int.from_bytes(_cut(data, place, width), "big", signed=True), place + width
        case 7:
            return struct.unpack(">d", _cut(data, place, 8))[0], place + 8
        case 8 | 9:
            return kind - 8, place
        case 10 | 11:
            raise ValueError(kind)
        case _:
            length = (kind - 12) // 2
            return _cut(data, place, length), place + length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[place + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + index + 1
    return value << 8 | data[place + 8], place + 9


def _cut(data: bytes, place: int, length: int) -> bytes:
    part = data[place : place + length]
    if len(part) != length:
        raise ValueError(length)
    return part
