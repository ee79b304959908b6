"""Arrays as parameters of statements, in PostgreSQL's binary format: one statement writes many rows.

psycopg converts each element of a list by itself, which costs more than the rest of the statement. These functions
make the bytes of a whole array. (Format: array_recv in PostgreSQL's source, src/backend/utils/adt/arrayfuncs.c.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct, pack
from typing import Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = b"\xff\xff\xff\xff"
_LENGTH: Final = Struct(">i").pack
_LENGTHS: Final = [_LENGTH(length) for length in range(2048)]


class BinaryArray:
    """An array in the binary format. The class is the type of its elements."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Int4Array(BinaryArray):
    """Elements of 4 bytes."""


class Int8Array(BinaryArray):
    """Elements of 8 bytes."""


class FloatArray(BinaryArray):
    """Elements of double precision."""


class BytesArray(BinaryArray):
    """Elements of bytea."""


class TextArray(BinaryArray):
    """Elements of text."""


def ints(values: Sequence[int | None]) -> Int8Array:
    return Int8Array(_fixed(values, 20, "q"))


def small_ints(values: Sequence[int | None]) -> Int4Array:
    return Int4Array(_fixed(values, 23, "i"))


def floats(values: Sequence[float | None]) -> FloatArray:
    return FloatArray(_fixed(values, 701, "d"))


def byte_strings(values: Sequence[bytes]) -> BytesArray:
    return BytesArray(_variable(values, 17))


def texts(values: Iterable[str | None]) -> TextArray:
    """PostgreSQL's text has no NUL character. U+FFFD replaces it."""
    encoded = [None if one is None else storable(one).encode("utf-8", "replace") for one in values]
    return TextArray(_variable(encoded, 25))


def storable(text: str) -> str:
    """The text without NUL characters, which PostgreSQL cannot store."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _header(length: int, element: int) -> bytes:
    return pack(">iiiii", 1, 1, element, length, 1) if length else pack(">iii", 0, 0, element)


def _fixed(values: Sequence[float | None], element: int, code: str) -> bytes:
    length = len(values)
    if None in values:
        one = Struct(f">i{code}")
        parts = [_NULL if value is None else one.pack(one.size - 4, value) for value in values]
        return _header(length, element) + b"".join(parts)
    size = 4 if code == "i" else 8
    fields: list[float | None] = [size] * (2 * length)
    fields[1::2] = values
    return _header(length, element) + pack(">" + f"i{code}" * length, *fields)


def _variable(values: Sequence[bytes | None], element: int) -> bytes:
    parts = [b""] * (2 * len(values))
    parts[::2] = [
        _NULL if one is None else _LENGTHS[len(one)] if len(one) < len(_LENGTHS) else _LENGTH(len(one))
        for one in values
    ]
    parts[1::2] = [one or b"" for one in values]
    return _header(len(values), element) + b"".join(parts)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> bytes:
        return obj.data


def _dumper(array: int) -> type[_ArrayDumper]:
    return type("_Dumper", (_ArrayDumper,), {"oid": array})


# By the type: the number of the array's type (pg_type.dat).
_DUMPERS: Final = {
    Int4Array: _dumper(1007), Int8Array: _dumper(1016), FloatArray: _dumper(1022), BytesArray: _dumper(1001),
    TextArray: _dumper(1009),
}  # fmt: skip


def register_arrays(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Let statements on this connection have arrays as parameters."""
    for array, dumper in _DUMPERS.items():
        connection.adapters.register_dumper(array, dumper)
