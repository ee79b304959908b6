"""RawFile reads what a file has, and notices what is added or replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.relay.sources.file_content import FileReplaced, RawFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "log"
    found.write_bytes(b"first\n")
    return found


@pytest.fixture
def file(path: Path) -> Iterator[RawFile]:
    opened = RawFile(os.open(path, os.O_RDONLY))
    yield opened
    opened.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as log:
        log.write(data)


def test_growth_is_read_once(path: Path, file: RawFile) -> None:
    assert [b"first\n", b""] == [file.next(100), file.next(100)]
    append(path, b"second\n")
    assert [b"second\n", b""] == [file.next(100), file.next(100)]


def test_a_read_returns_at_most_the_size(path: Path, file: RawFile) -> None:
    append(path, b"0123456789")
    assert [b"firs", b"t\n01", b"2345", b"6789", b""] == [file.next(4) for _ in range(5)]


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
