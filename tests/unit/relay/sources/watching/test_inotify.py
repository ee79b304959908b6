"""The kernel's reports of changes in directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.relay.sources.timing import SYSTEM_TIMING
from hookline.relay.sources.watching.inotify import Inotify


@pytest.fixture
def inotify() -> Iterator[Inotify]:
    one = Inotify.open()
    yield one
    one.close()


def test_each_kind_of_change_is_reported(tmp_path: Path, inotify: Inotify) -> None:
    """A new file, a write, a truncation and a rename, with names of any bytes. Reading a file is no change."""
    name = os.fsdecode(b"caf\xe9.log")
    path, watch = tmp_path / name, inotify.watch(str(tmp_path))
    assert [] == inotify.take()
    path.write_bytes(b"a\n")
    assert [inotify.descriptor] == SYSTEM_TIMING.poll([inotify.descriptor], 60.0)
    assert [(watch, name, False), (watch, name, True)] == [event[:3] for event in inotify.take()]
    os.truncate(path, 0)
    assert [(watch, name, True)] == [event[:3] for event in inotify.take()]
    path.rename(tmp_path / "b")
    path = tmp_path / "b"
    assert [(watch, name, False), (watch, "b", False)] == [event[:3] for event in inotify.take()]
    path.read_bytes()
    assert [] == inotify.take()


def test_directory_has_one_watch(tmp_path: Path, inotify: Inotify) -> None:
    """A directory that is watched again, or by a link, has the same watch. A file and a missing one have none."""
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "file").touch()
    watch = inotify.watch(str(tmp_path / "a"))
    assert watch == inotify.watch(str(tmp_path / "a")) == inotify.watch(str(tmp_path / "link"))
    with pytest.raises(NotADirectoryError):
        inotify.watch(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        inotify.watch(str(tmp_path / "missing"))


@pytest.mark.parametrize("is_removed", [True, False])
def test_lost_directory(tmp_path: Path, inotify: Inotify, is_removed: bool) -> None:
    """A directory that is removed or renamed is reported. A watch that ends reports nothing more."""
    directory = tmp_path / "a"
    directory.mkdir()
    watch = inotify.watch(str(directory))
    if is_removed:
        directory.rmdir()
    else:
        directory.rename(tmp_path / "b")
    assert [(watch, True)] == [(event.watch, event.is_lost) for event in inotify.take()]
    inotify.unwatch(watch)
    inotify.take()
    if not is_removed:
        (tmp_path / "b" / "c").touch()
    assert [] == inotify.take()


def test_overflow_is_reported(tmp_path: Path, inotify: Inotify) -> None:
    """If the kernel drops changes because nobody takes them, the last report shows it."""
    inotify.watch(str(tmp_path))
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip("the system keeps too many changes")
    files = [(tmp_path / name).open("wb", buffering=0) for name in "ab"]  # the kernel merges equal changes
    for _ in range(limit // 2 + 10):
        for file in files:
            file.write(b"x")
    for file in files:
        file.close()
    reports = []
    while events := inotify.take():
        reports += events
    assert [True] == [event.is_overflow for event in reports if event.is_overflow or event.watch < 0]
