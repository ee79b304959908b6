"""Files that have lost their tail since they were read, after a power cut for example."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.sources.files.content_marks import ContentMarks, verified_offset
from source_reader import Book

# Line ends, and pieces of lines that are short, longer than the part with line marks, or NUL bytes.
PIECES = st.sampled_from([b"\n", b"a\n", b"b" * 700, b"\n" * 90, b"c" * 66_000, b"\0" * 300])

LINES = [b'{"n":%d,"text":"%s"}' % (n, b"x" * (n % 90)) for n in range(4000)]
DATA = b"".join(line + b"\n" for line in LINES)
WARNING = "file has lost its tail since it was read, reading continues behind the rest"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def book(path: Path) -> Book:
    book = Book()
    assert LINES == book.run(path)
    return book


def end_of(line: int) -> int:
    return len(b"".join(one + b"\n" for one in LINES[:line]))


@pytest.mark.parametrize("lost", [1, 5, 50])
def test_file_that_lost_its_last_lines_is_not_read_again(path: Path, book: Book, lost: int) -> None:
    """Reading waits at its end, and continues with the lines that follow."""
    os.truncate(path, end_of(len(LINES) - lost))
    assert [] == book.run(path)
    assert [WARNING] == book.notes.warnings
    with path.open("ab") as file:
        file.write(b'{"n":-1}\n')
    assert [b'{"n":-1}'] == book.run(path)


@pytest.mark.parametrize("size", [len(DATA) - 7, len(DATA) // 2, len(DATA) // 50, 1000])
def test_file_that_was_not_written_since_is_read_from_its_end(path: Path, book: Book, size: int) -> None:
    """However much it lost, its time of change shows that all of it was read."""
    os.truncate(path, size)
    os.utime(path, (1, time.time() - 100))
    assert [] == book.run(path)
    with path.open("ab") as file:
        file.write(b'{"n":-1}\n')
    assert [b'{"n":-1}'] == book.run(path)


@pytest.mark.parametrize("kept", [3000, 2000, 500, 40])
def test_file_that_lost_much_and_was_written_since_loses_nothing(path: Path, book: Book, kept: int) -> None:
    """It is read from where its content is known to be the same, so a part is read twice and none is lost."""
    os.truncate(path, end_of(kept))
    with path.open("ab") as file:
        file.write(b'{"n":-1}\n')
    lines = book.run(path)
    assert b'{"n":-1}' == lines[-1]
    assert len(lines) < kept * 0.8 + 20


@pytest.mark.parametrize("lost", [1, 50, 3900])
def test_nul_bytes_in_the_place_of_the_last_lines_are_a_lost_tail(path: Path, book: Book, lost: int) -> None:
    """After a power cut a file can keep its length, with NUL bytes in the place of the content that was lost."""
    kept = end_of(len(LINES) - lost)
    path.write_bytes(DATA[:kept] + bytes(len(DATA) - kept) + b'{"n":-1}\n')
    lines = book.run(path)
    assert b'{"n":-1}' == lines[-1]
    assert len(lines) <= 1 + (0 if lost <= 50 else 100)
    assert WARNING in book.notes.warnings
    assert [] == book.run(path)


def test_nul_bytes_in_a_rotated_log_are_a_lost_tail(path: Path, book: Book) -> None:
    """The search for rotated files recognizes it, too, and the lines behind the NUL bytes are read."""
    kept = end_of(len(LINES) - 10)
    path.write_bytes(DATA[:kept] + bytes(len(DATA) - kept) + b'{"n":-1}\n')
    path.rename(path.with_name("app.log.1"))
    path.write_bytes(b'{"n":-2}\n')
    assert [b'{"n":-1}', b'{"n":-2}'] == book.run(path)


def test_new_content_with_the_same_header_is_read(path: Path, tmp_path: Path) -> None:
    """A truncated log that begins with the same lines is not a log that lost its tail."""
    header, book = b"#Fields: time status recipient and many more words\n" * 40, Book()
    path.write_bytes(header + DATA)
    book.run(path)
    path.write_bytes(header + b"short\n")
    assert b"short" == book.run(path)[-1]


def test_followed_file_that_loses_its_tail_is_not_read_again(path: Path) -> None:
    """A file server may lose it while the relay has the file open."""
    with Book().following(path) as follower:
        follower.read_lines(len(LINES))
        os.truncate(path, end_of(len(LINES) - 10))
        follower.takes_nothing()
        with path.open("ab") as file:
            file.write(b'{"n":-1}\n')
        follower.takes(b'{"n":-1}')


def test_damaged_marks_verify_nothing() -> None:
    """The marks come from the spool's file, which may be damaged."""
    read_at = lambda offset, length: DATA[max(0, offset) : max(0, offset) + length]  # noqa: E731
    marks = ContentMarks().at(len(DATA), read_at)
    assert len(DATA) == verified_offset(marks, len(DATA), read_at)
    assert 0 == verified_offset(marks[:-3], len(DATA), read_at)
    assert 0 == verified_offset(b"\xff" * 160, len(DATA), read_at)


@given(chunks=st.lists(st.lists(PIECES, max_size=12), min_size=1, max_size=6))
def test_kept_marks_are_those_of_the_content(chunks: list[list[bytes]]) -> None:
    """Marks that were computed while a file grew are the marks that its content gives at once."""
    content, marks = b"", ContentMarks()

    def read_at(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    for chunk in chunks:
        content += b"".join(chunk)
        assert ContentMarks().at(len(content), read_at) == marks.at(len(content), read_at)
