"""Files that grow, rotate and appear while they are followed: each hazard by its name, with real files."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from backports import zstd

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources import decompression
from hookline.relay.sources.files import listing
from hookline.relay.sources.line_splitter import MAX_LINE_BYTES
from source_reader import Book, Follower

LINGER = "hookline.relay.sources.rotated_log.ROTATED_LINGER_SECONDS"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def follower(path: Path, book: Book) -> Iterator[Follower]:
    """Follows a file of which the first line was read."""
    append(path, b"a1")
    with book.following(path) as follower:
        follower.takes(b"a1")
        yield follower


def append(path: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + end for line in lines))


def everything_was_read(book: Book, *names: Path | str) -> None:
    """A run after it finds nothing that was not taken."""
    assert [] == book.run(*names)


# -- growing


def test_growing(path: Path, follower: Follower) -> None:
    """What is appended comes, and a last line waits for its end."""
    append(path, b"a2", b"a3")
    follower.takes(b"a2", b"a3")
    append(path, b'{"whole":1}', end=b"")
    follower.takes_nothing()
    append(path, b"", b"a4")
    follower.takes(b'{"whole":1}', b"a4")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b"on", b"e\r", b"\n"], [b"one"]),
        ([b"\0\0", b"\n"], [b""]),
        ([b"\0\0", b"a\0\0\nb\n"], [b"a", b"b"]),
        ([b"caf\xc3", b"\xa9 \xff\n"], [b"caf\xc3\xa9 \xff"]),
        ([b"\r", b"\n\n\r\n"], [b"", b"", b""]),
    ],
)
def test_pieces(path: Path, follower: Follower, parts: list[bytes], expected: list[bytes]) -> None:
    """A line may come in pieces, cut anywhere: within a line end, a character, NUL bytes."""
    for part in parts[:-1]:
        append(path, part, end=b"")
        follower.takes_nothing()
    append(path, parts[-1], end=b"")
    follower.takes(*expected)


def test_endless_line(path: Path, follower: Follower) -> None:
    """It is not held, and is a line once it ends."""
    for _ in range(3):
        append(path, b"x" * MAX_LINE_BYTES, end=b"")
        follower.takes_nothing()
    append(path, b"", b"after")
    endless, after = follower.read_lines(2)
    assert (3 * MAX_LINE_BYTES, b"after") == (endless.length, after.data)


def test_empty_file_grows(path: Path, book: Book) -> None:
    """A file that is empty at first, with a byte order mark that comes in pieces."""
    path.touch()
    with book.following(path) as follower:
        follower.takes_nothing()
        append(path, b"\xef\xbb", end=b"")
        follower.takes_nothing()
        append(path, b"\xbfone")
        follower.takes(b"one")


def test_missing_file_appears(path: Path, book: Book) -> None:
    """A file that is not there yet is waited for, which is said once."""
    with book.following(path) as follower:
        follower.takes_nothing()
        append(path, b"one")
        follower.takes(b"one")
    assert ["file does not exist yet, waiting for it"] == book.notes.warnings


def test_last_line_of_a_stopped_run(path: Path, book: Book) -> None:
    """What was not terminated when following stopped is read whole by the next run."""
    append(path, b"a1")
    append(path, b"b", end=b"")
    with book.following(path) as follower:
        follower.takes(b"a1")
    append(path, b"c")
    assert [Line(2, b"bc", 2)] == book.lines(path)


# -- rotating


def test_renamed_and_recreated(path: Path, book: Book, follower: Follower) -> None:
    """The rotated file is read to its end before the new one; its last line may come after the rename."""
    append(path, b"a2")
    rotated = path.rename(f"{path}.1")
    append(rotated, b"a3")
    append(path, b"b1")
    follower.takes(b"a2", b"a3", b"b1")
    append(rotated, b"a4")  # its writer has not noticed yet
    append(path, b"b2")
    assert {b"a4", b"b2"} == {line.data for line in follower.read_lines(2)}
    everything_was_read(book, path, rotated)


def test_renamed_with_the_new_file_later(path: Path, follower: Follower) -> None:
    """While no new file is there, the renamed one goes on."""
    rotated = path.rename(f"{path}.1")
    append(rotated, b"a2")
    follower.takes(b"a2")
    append(rotated, b"a3")
    append(path, b"b1")
    follower.takes(b"a3", b"b1")


def test_rotated_file_is_final(path: Path, follower: Follower) -> None:
    """A whole last line of a rotated file needs no line end; half of one is left."""
    append(path, b'{"n":1}', end=b"")
    follower.takes_nothing()
    path.rename(f"{path}.1")
    append(path, b"b1", b'{"n":', end=b"\n")
    follower.takes(b'{"n":1}', b"b1", b'{"n":')


def test_recreated(path: Path, book: Book, follower: Follower) -> None:
    """Removed and made anew under the same name, with more in it than before."""
    append(path, b"a2")
    path.unlink()
    append(path, b"b1", b"b2", b"b3")
    follower.takes(b"a2", b"b1", b"b2", b"b3")
    everything_was_read(book, path)


def test_deleted_while_open(path: Path, follower: Follower) -> None:
    """A file that was deleted while it is written to is read for as long as it is the last one."""
    with path.open("ab") as file:
        path.unlink()
        file.write(b"a2\n")
        file.flush()
        follower.takes(b"a2")
        file.write(b"a3\n")
        file.flush()
        follower.takes(b"a3")
    append(path, b"b1")
    follower.takes(b"b1")


def test_copytruncate(path: Path, book: Book, follower: Follower) -> None:
    """Copied and truncated: what was not read of it is in the copy, and comes first."""
    append(path, b"a2", b"a3")
    shutil.copy(path, f"{path}.1")
    os.truncate(path, 0)
    append(path, b"b1")
    follower.takes(b"a2", b"a3", b"b1")
    everything_was_read(book, path, f"{path}.1")


def test_copytruncate_of_what_was_read(path: Path, book: Book, follower: Follower) -> None:
    """Nothing of the copy is new then."""
    shutil.copy(path, f"{path}.1")
    os.truncate(path, 0)
    append(path, b"b1")
    follower.takes(b"b1")
    everything_was_read(book, path, f"{path}.1")


def test_truncated_and_rewritten_longer(path: Path, book: Book, follower: Follower) -> None:
    """By the time of the next look the file may be longer than what was read of it: it is read from its start."""
    os.truncate(path, 0)
    append(path, b"b1 that is longer than a1", b"b2")
    follower.takes(b"b1 that is longer than a1", b"b2")
    everything_was_read(book, path)


def test_truncated_and_rewritten_to_the_same_length(path: Path, book: Book, follower: Follower) -> None:
    """The size alone would not tell."""
    path.write_bytes(b"b1\n")
    follower.takes(b"b1")
    everything_was_read(book, path)


def test_truncated_and_rewritten_with_the_same_beginning(path: Path, book: Book) -> None:
    """A long header that is the same in both does not hide it."""
    header = b"# a header that is long\n" * 100
    path.write_bytes(header + b"a1\n")
    with book.following(path) as follower:
        assert b"a1" == follower.read_lines(101)[-1].data
        path.write_bytes(header + b"b1\nb2\n")
        assert [b"b1", b"b2"] == [line.data for line in follower.read_lines(102)[-2:]]


def test_truncated_before_it_was_read_is_told(path: Path, book: Book, follower: Follower) -> None:
    """What is lost with a truncation that kept no copy is said, as far as it was seen."""
    append(path, b"half a li", end=b"")
    follower.takes_nothing()
    path.write_bytes(b"b1\n")
    follower.takes(b"b1")
    assert ["file was truncated before all of it was read"] == book.notes.warnings


def test_hole_after_a_truncation(path: Path, book: Book) -> None:
    """A writer that does not append goes on at its old place in a truncated file: NUL bytes come before its line."""
    with path.open("wb") as file, book.following(path) as follower:
        file.write(b"a1\n" * 1000)
        file.flush()
        follower.read_lines(1000)
        os.truncate(path, 0)
        file.write(b"b1\n")
        file.flush()
        follower.takes(b"b1")


def test_inode_reuse(path: Path, book: Book) -> None:
    """Another file in the inode of a deleted one is another file, however it begins."""
    header = b"# a header that is long\n" * 100
    path.write_bytes(header + b"a1\n")
    book.run(path)
    inode = path.stat().st_ino
    for _ in range(1000):  # until the file system gives the same inode again; in place, where it does not
        path.unlink()
        path.write_bytes(header + b"b1\nb2\n")
        if path.stat().st_ino == inode:
            break
    with book.following(path) as follower:
        assert [b"b1", b"b2"] == [line.data for line in follower.read_lines(102)[-2:]]


def test_two_rotations_between_two_looks(path: Path, book: Book, follower: Follower) -> None:
    """A file that was the log for so short a time that nobody saw it is found among the rotated ones."""
    append(path, b"a2")
    path.rename(f"{path}.2")
    append(path, b"b1")
    path.rename(f"{path}.1")
    append(path, b"c1")
    follower.takes(b"a2", b"b1", b"c1")
    everything_was_read(book, path, f"{path}.1", f"{path}.2")


def test_many_rotations(path: Path, book: Book, follower: Follower) -> None:
    """Rotated again and again, with a few files kept, at times twice between two looks: each line once, in order."""
    expected: list[bytes] = []
    for turn in range(12):
        lines = [b"turn %d line %d" % (turn, number) for number in range(20)]
        append(path, *lines)
        expected += lines
        for kept in range(4, 0, -1):
            if Path(f"{path}.{kept}").exists():
                Path(f"{path}.{kept}").rename(f"{path}.{kept + 1}")
        path.rename(f"{path}.1")
        if turn % 3:
            assert expected == [line.data for line in follower.read_lines(len(expected))]
            expected = []
    append(path, b"last")
    follower.takes(*expected, b"last")


# -- compressed meanwhile


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, "gz"), (zstd.compress, "zst")])
def test_compressed_after_it_was_read(path: Path, book: Book, pack: object, suffix: str) -> None:
    """Under a pattern that takes it in, the compressed file is recognized as what was read already."""
    append(path, b"a1", b"a2")
    with book.following(f"{path}*") as follower:
        follower.takes(b"a1", b"a2")
        rotated = path.rename(f"{path}.1")
        append(path, b"b1")
        follower.takes(b"b1")
        packed = path.with_name(f"app.log.1.{suffix}")
        packed.write_bytes(pack(rotated.read_bytes()))  # type: ignore[operator]
        rotated.unlink()
        append(path, b"b2")
        follower.takes(b"b2")
    everything_was_read(book, f"{path}*")


def test_compressed_while_it_was_read(path: Path, book: Book, follower: Follower) -> None:
    """Rotated, compressed and removed before it was read to its end: it is still open."""
    append(path, b"a2")
    rotated = path.rename(f"{path}.1")
    path.with_name("app.log.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.unlink()
    append(path, b"b1")
    follower.takes(b"a2", b"b1")
    everything_was_read(book, path, f"{path}.1.gz")


def test_compressed_before_it_was_read(path: Path, book: Book) -> None:
    """Archives that are there at the start come before the log, oldest first."""
    for turn in (3, 2, 1):
        archive = path.with_name(f"app.log.{turn}.gz")
        archive.write_bytes(gzip.compress(b"turn %d\n" % turn))
        os.utime(archive, (1000 - turn, 1000 - turn))
    append(path, b"now")
    with book.following(f"{path}*") as follower:
        follower.takes(b"turn 3", b"turn 2", b"turn 1", b"now")
    everything_was_read(book, f"{path}*")


def test_compressed_while_we_look(path: Path, book: Book) -> None:
    """A compressed file that is being written is read as far as it is there, and never taken for damaged."""
    packed = gzip.compress(b"".join(b"%d\n" % (number * 7919) for number in range(5000)))
    archive = path.with_name("app.log.1.gz")
    archive.touch()
    with book.following(f"{path}*") as follower:
        lines: list[Line] = []
        for at in range(0, len(packed), 4000):
            with archive.open("ab") as file:
                file.write(packed[at : at + 4000])
            lines += follower.read_lines(0 if at + 4000 < len(packed) else 5000 - len(lines))
    assert [b"%d" % (number * 7919) for number in range(5000)] == [line.data for line in lines]
    assert [] == book.notes.warnings


# -- while stopped


def test_rotated_while_stopped(path: Path, book: Book) -> None:
    """The rest of the rotated file comes first, then the new one."""
    append(path, b"a1")
    with book.following(path) as follower:
        follower.takes(b"a1")
    append(path, b"a2")
    path.rename(f"{path}.1")
    append(path, b"b1")
    with book.following(path) as follower:
        follower.takes(b"a2", b"b1")


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, "gz"), (zstd.compress, "zst")])
def test_rotated_and_compressed_while_stopped(path: Path, book: Book, pack: object, suffix: str) -> None:
    """It goes on within the compressed file, then reads the new one."""
    append(path, *(b"a %d" % number for number in range(3000)))
    with book.following(path) as follower:
        follower.read_lines(3000)
    append(path, b"a2")
    path.with_name(f"app.log-20261122.{suffix}").write_bytes(pack(path.read_bytes()))  # type: ignore[operator]
    path.unlink()
    append(path, b"b1")
    with book.following(path) as follower:
        follower.takes(b"a2", b"b1")


def test_copytruncate_while_stopped(path: Path, book: Book) -> None:
    """The copy holds what was left."""
    append(path, b"a1")
    with book.following(path) as follower:
        follower.takes(b"a1")
    append(path, b"a2")
    shutil.copy(path, f"{path}.1")
    path.write_bytes(b"b1 that is longer than what was there\n")
    with book.following(path) as follower:
        follower.takes(b"a2", b"b1 that is longer than what was there")


# -- several


def test_directory_gains_files(tmp_path: Path, book: Book) -> None:
    """Files that appear are read; a hidden one is not, and one that goes is let go."""
    append(tmp_path / "one", b"1")
    with book.following(tmp_path) as follower:
        follower.takes(b"1")
        append(tmp_path / ".hidden", b"no")
        append(tmp_path / "two", b"2")
        follower.takes(b"2")
        (tmp_path / "one").unlink()
        append(tmp_path / "two", b"3")
        follower.takes(b"3")
        (tmp_path / "two").rename(tmp_path / "three")
        append(tmp_path / "three", b"4")
        follower.takes(b"4")
    everything_was_read(book, tmp_path)


def test_pattern_gains_files(tmp_path: Path, book: Book) -> None:
    """Nothing may match at first; that is said once."""
    with book.following(tmp_path / "*.log") as follower:
        follower.takes_nothing()
        append(tmp_path / "one.log", b"1")
        append(tmp_path / "one.txt", b"no")
        follower.takes(b"1")
    assert ["no file exists yet, waiting for one"] == book.notes.warnings


def test_directory_appears(tmp_path: Path, book: Book) -> None:
    """What is named may turn out to be a directory."""
    later = tmp_path / "later"
    with book.following(later) as follower:
        follower.takes_nothing()
        later.mkdir()
        append(later / "one", b"1")
        follower.takes(b"1")


def test_long_file_does_not_starve_a_short_one(tmp_path: Path, book: Book) -> None:
    """Each gets its turn: the one line of the short file comes long before the end of the long one."""
    append(tmp_path / "long", *[b"%200d" % number for number in range(20_000)])
    append(tmp_path / "short", b"here")
    with book.following(tmp_path / "long", tmp_path / "short") as follower:
        sources = [follower.source.read().source for _ in range(4)]
        assert str(tmp_path / "short") in sources
        follower.read_lines(10_000)
        append(tmp_path / "short", b"again")
        lines: list[Line] = []
        while b"again" not in (line.data for line in lines):
            lines += follower.source.read().lines
        assert len(lines) < 10_000


def test_same_file_under_two_names(path: Path, book: Book) -> None:
    """A link to a file that is followed already is no second one."""
    append(path, b"a1")
    link = path.with_name("link.log")
    os.link(path, link)
    with book.following(path, link, path.parent) as follower:
        follower.takes(b"a1")
        append(link, b"a2")
        follower.takes(b"a2")


def test_more_files_than_may_be_open(tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of which everything was read are closed when there are many, and opened again when they grow."""
    monkeypatch.setattr("hookline.relay.sources.follow_source.MAX_OPEN_FILES", 5)
    for number in range(40):
        append(tmp_path / f"{number}.log", b"%d" % number)
    with book.following(tmp_path) as follower:
        assert {b"%d" % number for number in range(40)} == {line.data for line in follower.read_lines(40)}
        follower.takes_nothing()
        assert len(follower.source.lags()) <= 5
        append(tmp_path / "7.log", b"more")
        follower.takes(b"more")
        (tmp_path / "8.log").rename(tmp_path / "9.new")
        append(tmp_path / "9.new", b"renamed")
        follower.takes(b"renamed")
    everything_was_read(book, tmp_path)


def test_copytruncate_with_more_files_than_may_be_open(
    tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is closed when it is copied and truncated, the copy's rest comes first."""
    monkeypatch.setattr("hookline.relay.sources.follow_source.MAX_OPEN_FILES", 5)
    for number in range(20):
        append(tmp_path / f"{number}.log", b"%d" % number)
    path = tmp_path / "7.log"
    with book.following(tmp_path / "*.log") as follower:
        follower.read_lines(20)
        follower.takes_nothing()
        append(path, b"a2")
        shutil.copy(path, f"{path}.1")
        os.truncate(path, 0)
        append(path, b"b1 that is longer than what was there")
        follower.takes(b"a2", b"b1 that is longer than what was there")
    everything_was_read(book, tmp_path)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_rotated_while_more_files_than_may_be_open(
    tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch, pack: bool, later: bool
) -> None:
    """A file that is closed when it is rotated is found again: what was written after the last look comes first.

    Also where no new log is there yet, and where it was compressed at once. A writer may be slow to change over.
    """
    monkeypatch.setattr("hookline.relay.sources.follow_source.MAX_OPEN_FILES", 5)
    for number in range(20):
        append(tmp_path / f"{number}.log", b"%d" % number)
    path = tmp_path / "7.log"
    with book.following(tmp_path / "*.log") as follower:
        follower.read_lines(20)
        follower.takes_nothing()
        append(path, b"a2")
        rotated = path.rename(f"{path}.1")
        if pack:
            path.with_name("7.log.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
            rotated.unlink()
        if later:
            follower.takes(b"a2")
        append(path, b"b1")
        follower.takes(*([] if later else [b"a2"]), b"b1")
        if not pack:
            append(rotated, b"a3")
            follower.takes(b"a3")
        assert len(follower.source.lags()) <= 5
    everything_was_read(book, tmp_path)


def test_rotated_files_are_let_go(path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are silent for a while only the newest stays open: its writer may be slow to change over."""
    monkeypatch.setattr(LINGER, 0.1)
    append(path, b"0")
    with book.following(path) as follower:
        follower.takes(b"0")
        for turn in range(1, 5):
            path.rename(path.with_name(f"app.log.{10 - turn}"))
            append(path, b"%d" % turn)
            follower.takes(b"%d" % turn)
        assert 2 == len(follower.source.lags())


def test_half_a_line_in_a_rotated_file_is_told(path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody has finished it by the time that the file is let go, a warning says how many bytes it has."""
    monkeypatch.setattr(LINGER, 0.1)
    append(path, b"0")
    append(path, b'{"half":', end=b"")
    with book.following(path) as follower:
        follower.takes(b"0")
        for turn in (1, 2):
            path.rename(path.with_name(f"app.log.{10 - turn}"))
            append(path, b"%d" % turn)
            follower.takes(b"%d" % turn)
    assert [("unfinished last line of a rotated file not read", 8)] == [
        (what, fields["bytes"]) for level, what, fields in book.notes.said if level == "warning"
    ]


# -- what cannot be read


@pytest.mark.parametrize(("target", "verb"), [("/proc/self/mem", "read"), ("app.log", "inspected")])
def test_unreadable_file(path: Path, tmp_path: Path, book: Book, target: str, verb: str) -> None:
    """A file that the system does not give (an input/output error, a link to itself) does not stop the others.

    It is said once, and tried again.
    """
    path.symlink_to(target)
    append(tmp_path / "other", b"1")
    with book.following(path, tmp_path / "other") as follower:
        follower.takes(b"1")
        path.unlink()
        append(path, b"2")
        follower.takes(b"2")
    assert [f"file cannot be {verb}, will try again"] == book.notes.warnings


def test_directory_that_cannot_be_listed(tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, what it had is followed further, and it is listed again when that is possible."""
    append(tmp_path / "one", b"1")

    def refused(directory: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    with book.following(tmp_path) as follower:
        follower.takes(b"1")
        monkeypatch.setattr(listing, "_list", refused)
        append(tmp_path / "two", b"2")
        follower.read_for(1.5)
        append(tmp_path / "one", b"3")
        follower.takes(b"3")
        monkeypatch.undo()
        follower.takes(b"2")
    assert ["directory cannot be listed, will try again"] == book.notes.warnings


def test_directory_that_cannot_be_listed_at_the_start(
    tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite run ends with words; one that follows waits."""
    append(tmp_path / "one", b"1")

    def refused(directory: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listing, "_list", refused)
    with pytest.raises(HooklineError, match="cannot be listed: Permission denied"):
        book.run(tmp_path)
    with book.following(tmp_path) as follower:
        follower.takes_nothing()
        monkeypatch.undo()
        follower.takes(b"1")
    assert ["directory cannot be listed, will try again"] == book.notes.warnings


def test_other_compression_in_a_directory(tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the module of Python it is reported with the next step, and the others are read."""
    monkeypatch.setattr(decompression, "PACKED", frozenset({decompression.Compression.GZIP}))
    (tmp_path / "a.xz").write_bytes(b"\xfd7zXZ\0more")
    append(tmp_path / "b", b"1")
    with book.following(tmp_path) as follower:
        follower.takes(b"1")
        append(tmp_path / "b", b"2")
        follower.takes(b"2")
    assert ["file cannot be read, will try again"] == book.notes.warnings


def test_damaged_archive_in_a_directory(tmp_path: Path, book: Book) -> None:
    """What is whole of it is read, it is told once, and the others go on."""
    packed = bytearray(gzip.compress(b"one\n"))
    packed[-6] ^= 1
    (tmp_path / "a.gz").write_bytes(packed)
    append(tmp_path / "b", b"1")
    with book.following(tmp_path) as follower:
        assert {b"one", b"1"} == {line.data for line in follower.read_lines(2)}
        append(tmp_path / "b", b"2")
        follower.takes(b"2")
    assert ["compressed file is damaged, its intact part was read"] == book.notes.warnings


# -- pipes


def test_named_pipe_outlives_its_writers(tmp_path: Path, book: Book) -> None:
    """Writers come and go; what one leaves without an end is a line, and no other one's beginning."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    append(tmp_path / "file", b"1")
    with book.following(fifo, tmp_path / "file") as follower:
        follower.takes(b"1")
        fifo.write_bytes(b"a\nb")
        follower.takes(b"a", b"b")
        append(tmp_path / "file", b"2")
        follower.takes(b"2")
        fifo.write_bytes(gzip.compress(b"c\nd"))
        follower.takes(b"c", b"d")
    assert {str(fifo): 4, str(tmp_path / "file"): 2} == {one.name: one.line for one in book.positions.values()}


def test_pipe_that_is_stopped_within_a_line(book: Book) -> None:
    """What was taken of a line that has not ended is told: it is nowhere else any more."""
    reading, writing = os.pipe()
    os.write(writing, b"a\nhalf")
    source = book.open(f"/dev/fd/{reading}", follow=True)
    lines: list[Line] = []
    while not lines:
        book.take(source, lines)
    source.finish()
    while not book.take(source, lines):
        pass
    assert [(f"/dev/fd/{reading}", 4)] == source.unfinished()
    source.close()
    os.close(writing)
    os.close(reading)
    assert [b"a"] == [line.data for line in lines]


def test_pipe_that_cannot_come_back_ends(book: Book) -> None:
    """Following nothing but a pipe that has ended would be waiting for nothing."""
    reading, writing = os.pipe()
    os.write(writing, b"a\nb")
    os.close(writing)
    source = book.open(f"/dev/fd/{reading}", follow=True)
    lines: list[Line] = []
    while not book.take(source, lines):
        pass
    source.close()
    os.close(reading)
    assert [b"a", b"b"] == [line.data for line in lines]


def test_idle(path: Path, book: Book) -> None:
    """While nothing comes, calls return empty, and most of their time is spent asleep."""
    append(path, b"a1")
    with book.following(path) as follower:
        follower.takes(b"a1")
        before = os.times()
        batches = [follower.source.read() for _ in range(20)]
        after = os.times()
    assert [[]] * 20 == [batch.lines for batch in batches]
    assert after.user + after.system - before.user - before.system < (after.elapsed - before.elapsed) / 2


def test_name_that_becomes_a_socket_does_not_end_the_relay(tmp_path: Path, book: Book) -> None:
    """A socket cannot be opened. It is reported once, and the file that replaces it is read."""
    name = tmp_path / "events"
    append(tmp_path / "file", b"1")
    with book.following(name, tmp_path / "file") as follower:
        follower.takes(b"1")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(name))
            append(tmp_path / "file", b"2")
            follower.takes(b"2")
            append(tmp_path / "file", b"3")
            follower.takes(b"3")
        name.unlink()
        append(name, b"4")
        follower.takes(b"4")
    assert 1 == book.notes.warnings.count("pipe cannot be opened, will try again")
