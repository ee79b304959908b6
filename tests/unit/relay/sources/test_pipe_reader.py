"""Pipes and redirected standard input."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources import decompression
from hookline.relay.sources.decompression import Compression
from hookline.relay.sources.files.read_context import StrayBytes
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.source import START_POSITION
from hookline.relay.sources.timing import SYSTEM_TIMING
from source_reader import WAIT_SECONDS, Book, Notebook


@pytest.fixture
def pipe() -> Iterator[tuple[PipeReader, int]]:
    """A reader at the reading end, and the descriptor of the writing end."""
    reading, writing = os.pipe()
    reader = PipeReader("-", reading, Notebook(), SYSTEM_TIMING)
    yield reader, writing
    reader.close()


def test_what_is_there_comes_at_once(pipe: tuple[PipeReader, int]) -> None:
    """Complete lines are handed over while the writer is still there; the beginning of one waits."""
    reader, writing = pipe
    os.write(writing, b"one\ntwo\r\nthr")
    assert [Line(1, b"one", 3), Line(2, b"two", 3)] == reader.read(WAIT_SECONDS)
    position = reader.take_position()
    assert ("-", 2, False) == (position.name, position.line, reader.ended)
    assert START_POSITION is reader.take_position()
    os.close(writing)


def test_unterminated_last_line_is_a_line(pipe: tuple[PipeReader, int]) -> None:
    """When the writer is gone nothing more can follow, so what is there is the line."""
    reader, writing = pipe
    os.write(writing, b"one\ntwo")
    os.close(writing)
    assert [Line(1, b"one", 3), Line(2, b"two", 3)] == reader.read(WAIT_SECONDS)
    assert reader.ended


def test_silent_pipe_gives_nothing_soon(pipe: tuple[PipeReader, int]) -> None:
    """While nothing comes the reader looks up ten times a second, so that a stop is noticed."""
    reader, writing = pipe
    began = time.monotonic()
    assert [] == reader.read(WAIT_SECONDS)
    assert WAIT_SECONDS / 2 < time.monotonic() - began < 5
    assert not reader.ended
    os.close(writing)


def test_batches_are_bounded(pipe: tuple[PipeReader, int]) -> None:
    """More than 500 lines come in several batches, the end with the last of them."""
    reader, writing = pipe
    os.write(writing, b"x\n" * 1200)
    os.close(writing)
    found = [(len(reader.read(WAIT_SECONDS)), reader.ended, reader.take_position().line) for _ in range(3)]
    assert [(500, False, 500), (500, False, 1000), (200, True, 1200)] == found
    expected = 2400
    assert expected == reader.bytes_read


@pytest.mark.parametrize("parts", [[b"\xef\xbb\xbf{}\n"], [b"\xef", b"\xbb", b"\xbf{}\n"]])
def test_byte_order_mark_is_dropped(pipe: tuple[PipeReader, int], parts: list[bytes]) -> None:
    """As in a file, also when it comes in pieces."""
    reader, writing = pipe
    lines: list[Line] = []
    for part in parts:
        os.write(writing, part)
        lines += reader.read(0)
    assert [Line(1, b"{}", 2)] == lines
    os.close(writing)


def test_empty_pipe_ends_without_a_line(pipe: tuple[PipeReader, int]) -> None:
    """A producer that wrote nothing is no fault."""
    reader, writing = pipe
    os.close(writing)
    assert [] == reader.read(WAIT_SECONDS)
    assert reader.ended


def test_compressed_pipe_is_unpacked(pipe: tuple[PipeReader, int]) -> None:
    """What comes in is recognized by its first bytes, as in a file, however it is cut up."""
    reader, writing = pipe
    packed = gzip.compress(b"one\ntw") + gzip.compress(b"o\nthree")
    lines: list[Line] = []
    for at in range(0, len(packed), 7):
        os.write(writing, packed[at : at + 7])
        lines += reader.read(0)
    os.close(writing)
    lines += reader.read(WAIT_SECONDS)
    assert [b"one", b"two", b"three"] == [line.data for line in lines]
    assert reader.ended


def test_cut_off_compressed_pipe_is_told() -> None:
    """What is whole of it is taken, and a warning says where it broke off."""
    reading, writing = os.pipe()
    notes = Notebook()
    reader = PipeReader("-", reading, notes, SYSTEM_TIMING)
    packed = gzip.compress(b"".join(b"%d\n" % (number * 7919) for number in range(3000)))
    os.write(writing, packed[:-2000])
    os.close(writing)
    lines: list[Line] = []
    while not reader.ended:
        lines += reader.read(WAIT_SECONDS)
    reader.close()
    assert [b"%d" % (number * 7919) for number in range(len(lines) - 1)] == [line.data for line in lines[:-1]]
    assert 1000 < len(lines) < 3000
    assert ["compressed input is damaged, its intact part was read"] == notes.warnings


@pytest.mark.parametrize(("magic", "program"), [(b"\xfd7zXZ\0more", "xz"), (b"BZh91AY&SYmore", "bzip2")])
def test_other_compression_is_refused(
    pipe: tuple[PipeReader, int], magic: bytes, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the modules of Python it would become many dead letters; the message has the command that helps."""
    monkeypatch.setattr(decompression, "PACKED", frozenset({Compression.GZIP, Compression.ZSTD}))
    reader, writing = pipe
    os.write(writing, magic)
    with pytest.raises(HooklineError, match=program) as raised:
        reader.read(WAIT_SECONDS)
    assert f"{program} -dc" in str(raised.value.hint)
    os.close(writing)


def test_bomb_in_a_pipe_is_bounded(pipe: tuple[PipeReader, int]) -> None:
    """However much some bytes unpack to, a call gives 500 lines and goes no further than it must."""
    reader, writing = pipe
    bomb = gzip.compress(b"{}\n" * 3_000_000)
    os.write(writing, bomb[:60_000])
    assert 500 == len(reader.read(WAIT_SECONDS))
    expected = 1024 * 1024
    assert reader._splitter.unfinished_bytes <= expected
    os.close(writing)


def test_closed_descriptor_is_an_error_of_ours() -> None:
    """A standard input that is not open is told in words."""
    reading, writing = os.pipe()
    reader = PipeReader("-", reading, Notebook(), SYSTEM_TIMING)
    os.close(reading)
    os.close(writing)
    with pytest.raises(HooklineError, match="standard input cannot be read"):
        reader.read(WAIT_SECONDS)


def test_named_pipe_is_read_as_a_pipe(tmp_path: Path) -> None:
    """A FIFO waits for its writer, has no checkpoint, and ends with its writer."""
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    book = Book()
    source = book.open(fifo)
    lines: list[Line] = []
    assert not book.take(source, lines)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(fifo)!r}, 'w').write('a\\nb')"])
    while not book.take(source, lines):
        pass
    source.close()
    expected = 0
    assert expected == writer.wait()
    assert [Line(1, b"a", 1), Line(2, b"b", 1)] == lines
    assert (str(fifo), 2) == (book.reached.name, book.reached.line)


def test_what_the_shell_substitutes_is_read_as_a_pipe() -> None:
    """`hookline relay <(zcat …)` names a descriptor below /dev/fd."""
    reading, writing = os.pipe()
    os.write(writing, b"a\nb\n")
    os.close(writing)
    assert [b"a", b"b"] == Book().run(f"/dev/fd/{reading}")
    os.close(reading)


READ_STDIN = """
import sys, msgspec
from hookline.relay.sources.source import Position
from source_reader import Book
book = Book(msgspec.json.decode(text, type=Position) for text in sys.argv[2:])
print([line.data.decode() for line in book.lines(sys.argv[1])])
print(msgspec.json.encode(book.reached).decode())
"""


def read_stdin(name: str, stdin: int, *known: str) -> list[str]:
    command = [sys.executable, "-c", READ_STDIN, name, *known]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("packed", [False, True])
def test_redirected_file_is_that_file(tmp_path: Path, name: str, packed: bool) -> None:
    """`relay - < file` goes on from the checkpoint of the file, as `relay file` would."""
    path = tmp_path / "events"
    path.write_bytes(gzip.compress(b"a\nb\n") if packed else b"a\nb\n")
    with path.open("rb") as file:
        first, position = read_stdin(name, file.fileno())
    expected = "['a', 'b']"
    assert expected == first
    with path.open("rb") as file:
        second, _ = read_stdin(name, file.fileno(), position)
    expected = "[]"
    assert expected == second


def test_bytes_that_begin_no_line_are_counted_and_reported() -> None:
    """As in a file: one warning, and the number for the metric."""
    reading, writing = os.pipe()
    notes = Notebook()
    stray = StrayBytes(notes)
    reader = PipeReader("-", reading, notes, SYSTEM_TIMING, stray=stray)
    os.write(writing, b"\0\0a\n\x1eb\n")
    assert [b"a", b"b"] == [line.data for line in reader.read(1)]
    os.write(writing, b"\xef\xbb\xbfc\n")
    os.close(writing)
    assert [b"c"] == [line.data for line in reader.read(1)]
    reader.close()
    assert 6 == stray.total
    assert 1 == len(notes.warnings)
