"""Cutting a stream of bytes into lines."""

from __future__ import annotations

import hashlib
import re
from itertools import product

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
    expected = [line.data for line in cut(whole)]
    if not re.search(rb"[\0\x1e\xef]", whole):
        parts = whole.split(b"\n")
        if not parts[-1]:
            parts.pop()
        assert expected == [part.removesuffix(b"\r") for part in parts]
    lines = cut(*chunks)
    assert expected == [line.data for line in lines]
    assert list(range(1, len(lines) + 1)) == [line.number for line in lines]


@pytest.mark.parametrize(("letters", "length"), [(b"x\n\r\0", 6), (b"x\n\0\xef\xbb\xbf", 4)])
def test_short_streams_do_not_depend_on_the_chunks(letters: bytes, length: int) -> None:
    """Every short stream has the same lines, offset and stray bytes if it comes whole, in two parts or in bytes."""

    def result(*chunks: bytes) -> tuple[list[Line], int, int]:
        splitter, lines = LineSplitter(), []
        for chunk in chunks:
            splitter.feed(chunk)
            lines += splitter.take(ALL)
        last = splitter.take_unterminated()
        return [*lines, *([last] if last else [])], splitter.offset, splitter.take_stray_bytes()

    for stream in map(bytes, product(letters, repeat=length)):
        expected = result(stream)
        halves = [result(stream[:at], stream[at:]) for at in range(1, length)]
        assert [expected] * length == [*halves, result(*(stream[at : at + 1] for at in range(length)))], stream


def test_a_late_terminator_after_stray_bytes_is_no_line() -> None:
    assert [Line(1, b"x", 1), Line(2, b"y", 1)] == cut(b"x", b"\0", b"\n", b"y\n")
    assert [Line(1, b"x", 1), Line(2, b"", 0)] == cut(b"x\0\n\0\n")


def test_offset_is_the_byte_after_the_last_line_given_out() -> None:
    """Lines that wait in the cutter do not move the offset: they are not acknowledged with the others."""
    cutter = LineSplitter(number=10, offset=100)
    cutter.feed(b"one\r\ntwo\nthree\nfo")
    assert [Line(11, b"one", 3), Line(12, b"two", 3)] == cutter.take(2)
    expected = (12, 109, 8)
    assert expected == (cutter.number, cutter.offset, cutter.unfinished_bytes)


@pytest.mark.parametrize("stray", [b"\0\0", b"\x1e", b"\xef\xbb\xbf", b"\0\xef\xbb\xbf\x1e"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_bytes_that_cannot_begin_a_line_cost_no_line(stray: bytes, size: int) -> None:
    """They are left out before every line, wherever the chunks are cut, and counted."""
    stream = stray + b"{}\n" + stray + b"[]\r\n" + stray + b"rest"
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [Line(1, b"{}", 2), Line(2, b"[]", 2), Line(3, b"rest", 4)] == cut(*chunks)
    splitter = LineSplitter()
    splitter.feed(stream)
    splitter.take(ALL)
    splitter.take_unterminated()
    assert (3 * len(stray), len(stream)) == (splitter.stray_bytes, splitter.offset)


@pytest.mark.parametrize("stray", [b"\0", b"\0" * 5000, b"\x1e"])
def test_line_ends_before_nul_bytes_and_record_separators(stray: bytes) -> None:
    """A line that a power cut left incomplete does not take the next one with it."""
    assert [Line(1, b'{"half', 6), Line(2, b"{}", 2)] == cut(b'{"half' + stray + b"{}\n")
    assert [Line(1, b"{}", 2), Line(2, b"[]", 2)] == cut(b"{}" + stray + b"\n[]\n")


def test_nul_bytes_at_the_end_wait_for_their_content() -> None:
    """A writer may reserve space and fill it later, so the offset stays before it."""
    splitter = LineSplitter()
    splitter.feed(b"{}\n\0\0\0")
    assert [Line(1, b"{}", 2)] == splitter.take(ALL)
    assert (3, 3) == (splitter.offset, splitter.unfinished_bytes)


@pytest.mark.parametrize("size", [100_000, 5_000_000])
@pytest.mark.parametrize("between", [b"", b" ", b"\xef\xbb\xbf"])
def test_values_without_line_ends_are_lines_of_their_own_over_the_limit(size: int, between: bytes) -> None:
    """A file of objects without line ends is no endless line."""
    values = [b'{"n":%d,"text":"%s"}' % (n, b"}{[x" * 200) for n in range(3000)]
    stream = between.join(values)
    splitter = LineSplitter()
    lines: list[Line] = []
    for at in range(0, len(stream), size):
        splitter.feed(stream[at : at + size])
        lines += splitter.take(ALL)
    lines += splitter.take_values(ALL)
    assert values == [line.data.strip(b" \xef\xbb\xbf") for line in lines]
    assert len(stream) == splitter.offset


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
