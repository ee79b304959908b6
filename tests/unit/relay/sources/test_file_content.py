"""The content of files: what a read returns, and archives and copies that somebody is in the middle of writing."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd

from hookline.relay.delivery_record import Line
from hookline.relay.sources.file_content import FileReplaced, RawFile
from source_reader import Book

MANY = [b"event %d" % (number * 7919) for number in range(5000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def book() -> Book:
    return Book()


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def half(packed: bytes) -> bytes:
    return packed[: len(packed) // 2]


# -- archives


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, "gz"), (zstd.compress, "zst")])
def test_half_an_archive_beside_its_original(path: Path, book: Book, pack: object, suffix: str) -> None:
    """The log is rotated and its compression begins at once: the original is read, the archive is nothing new."""
    append(path, *MANY)
    with book.following(path) as follower:
        follower.takes(*MANY)
        append(path, b"a2")
        rotated = path.rename(f"{path}.1")
        packed = pack(rotated.read_bytes())  # type: ignore[operator]
        archive = path.with_name(f"app.log.1.{suffix}")
        archive.write_bytes(half(packed))
        append(path, b"b1")
        follower.takes(b"a2", b"b1")
        archive.write_bytes(packed)
        rotated.unlink()
        append(path, b"b2")
        follower.takes(b"b2")
    assert [] == book.notes.warnings
    assert [] == book.run(path, archive)


def test_half_an_archive_after_copytruncate(path: Path, book: Book) -> None:
    """The same where the original is a copy."""
    append(path, *MANY)
    with book.following(path) as follower:
        follower.takes(*MANY)
        append(path, b"a2")
        copy = path.with_name("app.log.1")
        copy.write_bytes(path.read_bytes())
        path.with_name("app.log.1.gz").write_bytes(half(gzip.compress(copy.read_bytes())))
        os.truncate(path, 0)
        append(path, b"b1")
        follower.takes(b"a2", b"b1")
    assert [] == book.notes.warnings


def test_half_an_archive_in_a_finite_run(path: Path, book: Book) -> None:
    """A run from cron that comes in the middle of a compression reads the original's rest and the new log."""
    append(path, *MANY)
    book.run(path)
    append(path, b"a2")
    rotated = path.rename(f"{path}.1")
    path.with_name("app.log.1.gz").write_bytes(half(gzip.compress(rotated.read_bytes())))
    append(path, b"b1")
    assert [b"a2", b"b1"] == book.run(path)
    assert [] == book.notes.warnings


def test_archive_that_grows_is_waited_for(path: Path, book: Book) -> None:
    """An archive without its original, named to a finite run while it is copied there, is read when it is whole."""
    append(path, *MANY)
    book.run(path)
    append(path, b"a2")
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    archive = path.with_name("app.log.1.gz")
    archive.write_bytes(half(packed))
    source = book.open(archive)
    batches = [source.read() for _ in range(5)]
    assert [([], False)] * 5 == [(batch.lines, batch.end) for batch in batches]
    archive.write_bytes(packed)
    assert [b"a2"] == [line.data for _ in range(5) for line in source.read().lines]
    source.close()
    assert [] == book.notes.warnings


def test_archive_that_does_not_grow_is_read_as_far_as_it_goes(
    path: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nobody has written to it for a while, or long ago already, it is a damaged one."""
    monkeypatch.setattr("hookline.relay.sources.file_content.QUIET_SECONDS", 0.1)
    path.write_bytes(half(gzip.compress(b"".join(line + b"\n" for line in MANY))))
    found = book.run(path)
    assert len(MANY) / 3 < len(found) < len(MANY)
    assert ["compressed file is damaged, its intact part was read"] == book.notes.warnings


def test_archive_that_stays_half_while_it_is_followed(
    path: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as damaged when nobody has written to it for a minute; should it grow all the same, it goes on."""
    monkeypatch.setattr("hookline.relay.sources.file_content.OLD_FILE_SECONDS", 1.5)
    packed = gzip.compress(b"".join(line + b"\n" for line in MANY))
    archive = path.with_name("app.log.1.gz")
    archive.write_bytes(half(packed))
    with book.following(f"{path}*") as follower:
        lines = follower.read_for(0.5)
        assert [] == book.notes.warnings
        lines += follower.until(lambda: bool(book.notes.warnings), timeout=10)
        archive.write_bytes(packed)
        lines += follower.read_lines(len(MANY) - len(lines))
    assert MANY == [line.data for line in lines]
    assert ["compressed file is damaged, its intact part was read"] == book.notes.warnings


# -- copies


@pytest.mark.parametrize("follow", [False, True])
def test_copy_that_is_being_made(path: Path, book: Book, follow: bool) -> None:
    """A pattern that takes in the copies of copytruncate meets one in the making: it is known once it is whole."""
    append(path, *MANY)
    pattern = f"{path}*"
    book.run(pattern)
    append(path, b"a2")
    whole = path.read_bytes()
    copy = path.with_name("app.log.1")
    copy.write_bytes(whole[: len(whole) // 2])
    source = book.open(pattern, follow=follow)
    lines: list[Line] = []
    try:
        for _ in range(5):
            book.take(source, lines)
        with copy.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        os.truncate(path, 0)
        append(path, b"b1")
        for _ in range(100):
            if book.take(source, lines) or len(lines) == 2:
                break
    finally:
        source.close()
    # A finite run has been through with the log by the time that this is truncated.
    assert [b"a2", b"b1"] == [*(line.data for line in lines), *book.run(pattern)]


def test_copy_that_stays_half(path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody goes on with is read as what it is."""
    monkeypatch.setattr("hookline.relay.sources.file_content.QUIET_SECONDS", 0.3)
    append(path, *MANY)
    pattern = f"{path}*"
    book.run(pattern)
    path.with_name("app.log.1").write_bytes(b"".join(line + b"\n" for line in MANY[:100]))
    with book.following(pattern) as follower:
        follower.takes(*MANY[:100])


# -- what a read returns


@pytest.fixture
def file(path: Path) -> Iterator[RawFile]:
    path.write_bytes(b"first\n")
    opened = RawFile(os.open(path, os.O_RDONLY))
    yield opened
    opened.close()


def test_growth_is_read_once(path: Path, file: RawFile) -> None:
    assert [b"first\n", b""] == [file.next(100), file.next(100)]
    append(path, b"second")
    assert [b"second\n", b""] == [file.next(100), file.next(100)]


def test_a_read_returns_at_most_the_size(path: Path, file: RawFile) -> None:
    append(path, b"012345678")
    assert [b"firs", b"t\n01", b"2345", b"678\n", b""] == [file.next(4) for _ in range(5)]


@pytest.mark.parametrize("content", [b"other\n", b"other content\n"])
def test_other_content_is_noticed(content: bytes, path: Path, file: RawFile) -> None:
    """Also with the size that was read: the time of the file has changed."""
    file.next(100)
    path.write_bytes(content)
    os.utime(path, ns=(0, 0))
    with pytest.raises(FileReplaced):
        file.next(100)


def test_a_file_without_a_size_is_read_to_its_end() -> None:
    """Files in /proc have the size 0."""
    place = Path("/proc/self/status")
    if not place.exists():
        place = Path("/dev/null")
    file = RawFile(os.open(place, os.O_RDONLY))
    try:
        pieces = [file.next(100)]
        while pieces[-1]:
            pieces.append(file.next(100))
    finally:
        file.close()
    assert place.read_bytes().count(b"\n") == b"".join(pieces).count(b"\n")
