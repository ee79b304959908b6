"""Files with an end: where reading begins, and how far it came."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.line_splitter import MAX_LINE_BYTES
from source_reader import Book, Notebook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


@pytest.fixture
def book() -> Book:
    return Book()


def test_finished_file_gives_nothing_again(path: Path, book: Book) -> None:
    """A second run begins where the first one ended."""
    path.write_bytes(b'{"n":1}\n{"n":2}\r\n')
    assert [b'{"n":1}', b'{"n":2}'] == book.run(path)
    assert (2, 17) == (book.reached.line, book.reached.offset)
    assert [] == book.run(path)


def test_file_that_has_grown_goes_on_with_its_numbers(path: Path, book: Book) -> None:
    """What was appended is read, and its lines are counted from the file's beginning."""
    path.write_bytes(b"a\nb\n")
    book.run(path)
    with path.open("ab") as file:
        file.write(b"c\n")
    assert [Line(3, b"c", 1)] == book.lines(path)


def test_from_start_ignores_the_checkpoint(path: Path, book: Book) -> None:
    """On demand a finished file is read again."""
    path.write_bytes(b"a\nb\n")
    book.run(path)
    assert [b"a", b"b"] == book.run(path, from_start=True)


def test_several_names_are_read_in_their_order(path: Path, tmp_path: Path, book: Book) -> None:
    """Each batch says which of the names its lines are from, and each file has its own checkpoint."""
    path.write_bytes(b"a\nb\n")
    other = tmp_path / "a-file-before"
    other.write_bytes(b"c\n")
    source = book.open(path, other)
    first, second = source.read(), source.read()
    source.close()
    assert [(str(path), [b"a", b"b"], False), (str(other), [b"c"], True)] == [
        (batch.source, [line.data for line in batch.lines], batch.end) for batch in (first, second)
    ]
    assert [(str(path), 2), (str(other), 1)] == [(one.position.name, one.position.line) for one in (first, second)]


def test_unterminated_json_is_taken_once(path: Path, book: Book) -> None:
    """A last line that is a whole object counts, and is neither repeated nor torn when its terminator comes later."""
    path.write_bytes(b'{"n":1}\n{"n":2}')
    assert [b'{"n":1}', b'{"n":2}'] == book.run(path)
    assert [] == book.unfinished
    with path.open("ab") as file:
        file.write(b'\r\n{"n":3}\n')
    assert [Line(3, b'{"n":3}', 7)] == book.lines(path)


@pytest.mark.parametrize("tail", [b'{"n":', b"12", b'"te', b"plain text", b"[" * 5000])
def test_unterminated_beginning_is_left_and_told(path: Path, book: Book, tail: bytes) -> None:
    """A last line that may still be written to is not taken: the next run has it whole."""
    path.write_bytes(b"a\n" + tail)
    assert [b"a"] == book.run(path)
    assert [(str(path), len(tail))] == book.unfinished
    with path.open("ab") as file:
        file.write(b" ...\n")
    assert [tail + b" ..."] == book.run(path)


def test_blanks_at_the_end_are_nothing(path: Path, book: Book) -> None:
    """Blanks behind the last line are no unfinished line."""
    path.write_bytes(b"a\n  ")
    assert [b"a"] == book.run(path)
    assert [] == book.unfinished


def test_byte_order_mark_is_dropped(path: Path, book: Book) -> None:
    """Editors on some systems begin a file with one; it belongs to no line, and the offset counts it."""
    path.write_bytes(b"\xef\xbb\xbf{}\n")
    assert [b"{}"] == book.run(path)
    assert path.stat().st_size == book.reached.offset


def test_hole_at_the_beginning_is_dropped(path: Path, book: Book) -> None:
    """A log that was truncated under a writer that does not append begins with NUL bytes: they are no line."""
    path.write_bytes(b"\0" * 700_000 + b'{"n":1}\n')
    assert [Line(1, b'{"n":1}', 7)] == book.lines(path)
    assert path.stat().st_size == book.reached.offset


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_stopped_within_a_hole(path: Path, book: Book, mark: bytes) -> None:
    """A run that goes on from a place in a hole drops the rest of it."""
    path.write_bytes(b"\0" * 9_000_000 + mark + b'{"n":1}\n')
    source = book.open(path)
    batch = source.read()
    source.close()
    assert 0 < batch.position.offset < 9_000_000
    assert [Line(1, b'{"n":1}', 7)] == Book([batch.position]).lines(path)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\0" * 100])
def test_empty_file_ends_at_once(path: Path, book: Book, content: bytes) -> None:
    """Nothing in it, nothing wrong with it. A program may reserve space for its log."""
    path.write_bytes(content)
    assert [] == book.run(path)
    assert [] == book.unfinished
    path.write_bytes(b"a\n" + content)
    assert [b"a"] == book.run(path)
    assert [] == book.unfinished
    with path.open("ab") as file:
        file.write(b"b\n")
    assert [b"b"] == book.run(path)


def test_batches_are_bounded_and_each_has_its_position(path: Path, book: Book) -> None:
    """At most 500 lines come at a time, and reading can go on from any batch as if it were the last one read."""
    path.write_bytes(b"".join(b'{"n":%d}\n' % number for number in range(1234)))
    source = book.open(path)
    batches = [source.read() for _ in range(3)]
    source.close()
    assert [500, 500, 234] == [len(batch.lines) for batch in batches]
    assert [False, False, True] == [batch.end for batch in batches]
    rest = Book([batches[0].position]).run(path)
    assert [line.data for batch in batches[1:] for line in batch.lines] == rest


def test_endless_line_does_not_hold_up_the_reader(path: Path, book: Book) -> None:
    """While an endless line goes by, calls return, and the position waits before it."""
    path.write_bytes(b"first\n" + b"x" * (9 * MAX_LINE_BYTES) + b"\n{}\n")
    lines = book.lines(path)
    assert [5, 9 * MAX_LINE_BYTES, 2] == [line.length for line in lines]
    assert lines[1].sha256 is not None
    assert [] == book.lines(path)


def test_checkpoint_after_an_endless_line_holds(path: Path, book: Book) -> None:
    """What was read last is compared, also when it was not held in memory."""
    path.write_bytes(b"x" * (3 * MAX_LINE_BYTES) + b"\r\n")
    assert [3 * MAX_LINE_BYTES] == [line.length for line in book.lines(path)]
    with path.open("ab") as file:
        file.write(b"{}\n")
    assert [b"{}"] == book.run(path)


def test_progress_is_in_bytes(path: Path, book: Book) -> None:
    """The progress bar gets what was read of all files together, and their whole size."""
    path.write_bytes(b"abc\n" * 10)
    source = book.open(path, path)
    assert (0, 80) == source.progress()
    source.read()
    assert (40, 80) == source.progress()
    source.close()


def test_lag_is_what_was_not_read(path: Path, book: Book) -> None:
    """While a file is read, its lag says where it stands and how many bytes are left."""
    path.write_bytes(b"%255d\n" % 1 * 4000)
    source = book.open(path)
    batch = source.read()
    (lag,) = source.lags()
    assert (str(path), batch.position) == (lag.source, lag.position)
    assert lag.unread_bytes is not None
    assert 0 < lag.unread_bytes < 4000 * 256
    source.close()


@pytest.mark.parametrize("name", ["missing.ndjson", "missing-*.ndjson", "missing/*.ndjson"])
def test_what_is_not_there_is_told(tmp_path: Path, book: Book, name: str) -> None:
    """A wrong path is a message with the next step, before anything is read."""
    with pytest.raises(HooklineError, match=r"no such file|no file matches") as raised:
        book.open(tmp_path / name)
    assert (raised.value.hint or "").startswith("check the ")


def test_name_that_no_file_can_have_is_told(book: Book) -> None:
    """A NUL byte in a name is refused like any other wrong path."""
    with pytest.raises(HooklineError, match="not a file name"):
        book.open("a\0b")


def test_directory_stands_for_its_files(tmp_path: Path, book: Book) -> None:
    """Its regular files that are not hidden, in the order in which they were written, and nothing below it."""
    for number, name in enumerate(["b", "a", ".hidden", "c"]):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
        os.utime(tmp_path / name, (number, number))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d").write_bytes(b"d\n")
    assert [b"b", b"a", b"c"] == book.run(tmp_path)


def test_pattern_stands_for_what_matches(tmp_path: Path, book: Book) -> None:
    """A quoted pattern is expanded by us; a file of that very name comes before what it would match."""
    for name in ("a.log", "b.log", "c.txt", "[ab].log"):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
    assert [b"c.txt"] == book.run(tmp_path / "*.txt")
    assert [b"[ab].log"] == book.run(tmp_path / "[ab].log")


def test_failing_device_is_an_error_of_ours(path: Path) -> None:
    """When the system refuses to go on reading, the message names file and byte."""
    path.write_bytes(b"a\n")
    reader = FileReader(
        str(path), os.open(path, os.O_RDONLY), ReadContext(checkpoints=Checkpoints(()), logger=Notebook())
    )
    reader.read(final=False)
    reader.close()
    with path.open("ab") as file:
        file.write(b"b\n")
    with pytest.raises(HooklineError, match=r"cannot be read at byte 2: Bad file descriptor"):
        reader.read(final=False)
