"""Pipes and redirected standard input."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.errors import HooklineError
from hookline.relay.fates import Line
from hookline.relay.sources.opening import open_source
from hookline.relay.sources.port import Position
from hookline.relay.sources.stdin import WAIT, PipeSource


@pytest.fixture
def pipe() -> Iterator[tuple[PipeSource, int]]:
    """A source at the reading end, and the descriptor of the writing end."""
    reading, writing = os.pipe()
    source = PipeSource("-", reading)
    yield source, writing
    source.close()


def test_what_is_there_comes_at_once(pipe: tuple[PipeSource, int]) -> None:
    """Complete lines are handed over while the writer is still there; the beginning of one waits."""
    source, writing = pipe
    os.write(writing, b"one\ntwo\r\nthr")
    batch = source.read()
    assert [Line(1, b"one", 3), Line(2, b"two", 3)] == batch.lines
    assert Position(name="-", line=2) == batch.position
    assert not batch.end
    os.close(writing)


def test_unterminated_last_line_is_a_line(pipe: tuple[PipeSource, int]) -> None:
    """When the writer is gone nothing more can follow, so what is there is the line."""
    source, writing = pipe
    os.write(writing, b"one\ntwo")
    os.close(writing)
    batch = source.read()
    assert [Line(1, b"one", 3), Line(2, b"two", 3)] == batch.lines
    assert batch.end
    assert not source.unfinished


def test_silent_pipe_gives_an_empty_batch_soon(pipe: tuple[PipeSource, int]) -> None:
    """While nothing comes the reader looks up ten times a second, so that a stop is noticed."""
    source, writing = pipe
    began = time.monotonic()
    batch = source.read()
    assert WAIT / 2 < time.monotonic() - began < 5
    assert ([], False) == (batch.lines, batch.end)
    os.close(writing)


def test_batches_are_bounded(pipe: tuple[PipeSource, int]) -> None:
    """More than 500 lines come in several batches, the end with the last of them."""
    source, writing = pipe
    os.write(writing, b"x\n" * 1200)
    os.close(writing)
    batches = [source.read() for _ in range(3)]
    assert [500, 500, 200] == [len(batch.lines) for batch in batches]
    assert [False, False, True] == [batch.end for batch in batches]
    assert [500, 1000, 1200] == [batch.position.line for batch in batches]
    assert (2400, None) == source.progress()


def test_byte_order_mark_is_dropped(pipe: tuple[PipeSource, int]) -> None:
    """As in a file."""
    source, writing = pipe
    os.write(writing, b"\xef\xbb\xbf{}\n")
    assert [Line(1, b"{}", 2)] == source.read().lines
    os.close(writing)


def test_empty_pipe_ends_without_a_line(pipe: tuple[PipeSource, int]) -> None:
    """A producer that wrote nothing is no fault."""
    source, writing = pipe
    os.close(writing)
    assert ([], True) == (source.read().lines, source.read().end)


def test_closed_descriptor_is_an_error_of_ours() -> None:
    """A standard input that is not open is told in words."""
    reading, writing = os.pipe()
    source = PipeSource("-", reading)
    os.close(reading)
    os.close(writing)
    with pytest.raises(HooklineError, match="standard input cannot be read"):
        source.read()


def test_named_pipe_is_read_as_a_pipe(tmp_path: Path) -> None:
    """A FIFO, or what the shell makes of <(...), has no checkpoint and ends with its writer."""
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(fifo)!r}, 'w').write('a\\nb')"])
    source = open_source(str(fifo))
    lines: list[Line] = []
    end = False
    while not end:
        batch = source.read()
        lines += batch.lines
        end = batch.end
    source.close()
    expected = 0
    assert expected == writer.wait()
    assert [Line(1, b"a", 1), Line(2, b"b", 1)] == lines
    assert str(fifo) == source.name


READ_STDIN = """
import sys, msgspec
from hookline.relay.sources.opening import open_source
from hookline.relay.sources.port import Position
known = [msgspec.json.decode(text, type=Position) for text in sys.argv[1:]]
source = open_source("-", known)
batch = source.read()
print(type(source).__name__, [line.data.decode() for line in batch.lines], batch.position.name)
print(msgspec.json.encode(batch.position).decode())
"""


def read_stdin(stdin: int, *known: str) -> list[str]:
    command = [sys.executable, "-c", READ_STDIN, *known]
    return subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=True).stdout.splitlines()


def test_redirected_file_is_that_file(tmp_path: Path) -> None:
    """`relay - < file` goes on from the checkpoint of the file, as `relay file` would."""
    path = tmp_path / "events"
    path.write_bytes(b"a\nb\n")
    with path.open("rb") as file:
        first, position = read_stdin(file.fileno())
    expected = "FileSource ['a', 'b'] -"
    assert expected == first
    with path.open("rb") as file:
        second, _ = read_stdin(file.fileno(), position)
    expected = "FileSource [] -"
    assert expected == second
    source = open_source(str(path), [])
    assert [b"a", b"b"] == [line.data for line in source.read().lines]
    source.close()
