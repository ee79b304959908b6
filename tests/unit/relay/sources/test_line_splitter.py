"""Cutting a stream of bytes into lines."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.delivery_record import Line
from hookline.relay.sources.line_splitter import KEPT_LINE_BYTES, MAX_LINE_BYTES, LineSplitter

ALL = 10_000_000


def cut(*chunks: bytes) -> list[Line]:
    cutter = LineSplitter()
    lines: list[Line] = []
    for chunk in chunks:
        cutter.feed(chunk)
        lines += cutter.take(ALL)
    last = cutter.take_unterminated()
    return [*lines, last] if last else lines


@given(st.lists(st.binary(max_size=6).map(lambda part: part.replace(b"a", b"\n").replace(b"b", b"\r\n")), max_size=8))
def test_lines_do_not_depend_on_the_chunks(chunks: list[bytes]) -> None:
    """However a stream is chopped up, its lines, their numbers and the offset are the same."""
    whole = b"".join(chunks)
    parts = whole.split(b"\n")
    if not parts[-1]:
        parts.pop()
    expected = [part.removesuffix(b"\r") for part in parts]
    lines = cut(*chunks)
    assert expected == [line.data for line in lines]
    assert list(range(1, len(lines) + 1)) == [line.number for line in lines]


def test_offset_is_the_byte_after_the_last_line_given_out() -> None:
    """Lines that wait in the cutter do not move the offset: they are not acknowledged with the others."""
    cutter = LineSplitter(number=10, offset=100)
    cutter.feed(b"one\r\ntwo\nthree\nfo")
    assert [Line(11, b"one", 3), Line(12, b"two", 3)] == cutter.take(2)
    expected = (12, 109, 8)
    assert expected == (cutter.number, cutter.offset, cutter.unfinished_bytes)


def test_nul_bytes_are_like_others() -> None:
    """A line with NUL bytes is a line."""
    assert [Line(1, b"\0\0{}", 4), Line(2, b"", 0)] == cut(b"\0\0{}\n\n")


@pytest.mark.parametrize("terminator", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1000, 64 * 1024, MAX_LINE_BYTES, 3 * MAX_LINE_BYTES])
def test_line_at_the_limit_is_whole(terminator: bytes, size: int) -> None:
    """A line of exactly the limit is kept, whatever its terminator and the chunks that it came in."""
    stream = b"x" * MAX_LINE_BYTES + terminator
    lines = cut(*[stream[at : at + size] for at in range(0, len(stream), size)])
    assert [Line(1, b"x" * MAX_LINE_BYTES, MAX_LINE_BYTES)] == lines


@pytest.mark.parametrize("terminator", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("over", [1, 2, 3, MAX_LINE_BYTES, 3 * MAX_LINE_BYTES + 7])
@pytest.mark.parametrize("size", [64 * 1024 - 1, MAX_LINE_BYTES, 5 * MAX_LINE_BYTES])
def test_line_over_the_limit_keeps_beginning_length_and_hash(terminator: bytes, over: int, size: int) -> None:
    """Of a longer line there remain 64 KiB and what identifies the rest; the line after it is sound."""
    content = bytes(range(32, 127)) * (MAX_LINE_BYTES // 90 + over // 95 + 1)
    content = content[: MAX_LINE_BYTES + over - 1] + b"\r"  # a carriage return inside of the line's end belongs to it
    stream = content + b"\r" + b"\n" if terminator == b"\r\n" else content[:-1] + b"z" + terminator
    whole = content if terminator == b"\r\n" else content[:-1] + b"z"
    after = b"after\n" if terminator else b""
    stream += after
    first, *others = cut(*[stream[at : at + size] for at in range(0, len(stream), size)])
    assert Line(1, whole[:KEPT_LINE_BYTES], MAX_LINE_BYTES + over, hashlib.sha256(whole).digest()) == first
    assert ([Line(2, b"after", 5)] if after else []) == others


def test_endless_line_is_not_held_in_memory() -> None:
    """What cannot become a line any more leaves the buffer."""
    cutter = LineSplitter()
    chunk = b"x" * 256 * 1024
    for _ in range(40):
        cutter.feed(chunk)
        assert not cutter.take(ALL)
        assert len(cutter._buffer) <= MAX_LINE_BYTES + len(chunk)
    assert cutter.unterminated_line() is None
    expected = 40 * len(chunk)
    assert expected == cutter.unfinished_bytes
