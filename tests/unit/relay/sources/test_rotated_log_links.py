"""Logs that are named by a link which is switched, or whose target is rotated, while the relay is down."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from source_reader import Book


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """A link in one directory to a log in another."""
    (tmp_path / "data").mkdir()
    (tmp_path / "names").mkdir()
    (tmp_path / "data" / "app-27.log").write_bytes(b"1\n")
    link = tmp_path / "names" / "app.log"
    link.symlink_to(tmp_path / "data" / "app-27.log")
    return link


def read(book: Book, link: Path, follow: bool, *expected: bytes) -> None:
    if not follow:
        assert list(expected) == book.run(link)
        return
    with book.following(link) as follower:
        follower.takes(*expected)


@pytest.mark.parametrize("follow", [False, True])
def test_rest_of_the_old_target_is_read_after_the_link_was_switched(link: Path, follow: bool) -> None:
    """The old target, and one that the link named in between, come before the new one."""
    book, data = Book(), link.parent.parent / "data"
    read(book, link, follow, b"1")
    with (data / "app-27.log").open("ab") as file:
        file.write(b"2\n")
    for at, name, content in ((2, "app-28.log", b"3\n"), (3, "app-29.log", b"4\n")):
        (data / name).write_bytes(content)
        os.utime(data / name, (at + 4e9, at + 4e9))
    link.unlink()
    link.symlink_to(data / "app-29.log")
    read(book, link, follow, b"2", b"3", b"4")
    read(book, link, follow)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_rest_of_a_rotated_target_is_read(
    link: Path, follow: bool, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """Rotated files are beside the file that was read, and not beside the name."""
    book, data = Book(), link.parent.parent / "data"
    read(book, link, follow, b"1")
    (data / f"app-27.log.1{ending}").write_bytes(pack(b"1\n2\n"))
    os.utime(data / f"app-27.log.1{ending}", (4e9, 4e9))
    (data / "app-27.log").unlink()
    (data / "app-27.log").write_bytes(b"3\n")
    read(book, link, follow, b"2", b"3")


@pytest.mark.parametrize("follow", [False, True])
def test_packing_that_is_not_read_is_named(tmp_path: Path, follow: bool) -> None:
    """The warning about lost lines names the files that may hold them."""
    log, book = tmp_path / "app.log", Book()
    log.write_bytes(b"1\n")
    read(book, log, follow, b"1")
    log.unlink()
    (tmp_path / "app.log.1.lz4").write_bytes(b"?")
    log.write_bytes(b"2\n")
    read(book, log, follow, b"2")
    (fields,) = [fields for _, event, fields in book.notes.said if event.startswith("last read file not found")]
    assert "app.log.1.lz4" == fields["packed"]
