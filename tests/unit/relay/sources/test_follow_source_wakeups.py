"""When followed files wake the relay, by virtual time: at once if the system reports changes, and rarely at rest."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hookline.relay.sources.follow_source import (
    MAX_READ_INTERVAL_SECONDS,
    MIN_READ_INTERVAL_SECONDS,
    FollowSource,
)
from hookline.relay.sources.open import open_sources
from hookline.relay.sources.source import LineSource
from hookline.relay.sources.timing import SYSTEM_TIMING, DirectoryWatcher, Timing
from hookline.relay.sources.watching.inotify import Inotify
from hookline.relay.sources.watching.watched_directories import MAX_GATHER_SECONDS, MIN_GATHER_SECONDS
from source_reader import Notebook, no_watcher

NO_WATCH = "directories cannot be watched for changes, their files are checked once a second"


class Clock:
    """Time that passes only while a source waits for descriptors that are not ready.

    `at` has calls for later times. A wait ends before the first of them, as it ends in reality when data arrives.
    """

    def __init__(self) -> None:
        self.now = 1e9
        self.waits = 0
        self.at: list[tuple[float, Callable[[], object]]] = []

    def poll(self, descriptors: Sequence[int], seconds: float) -> list[int]:
        self.waits += 1
        until = self.now + max(seconds, 1e-4)
        while True:
            if ready := SYSTEM_TIMING.poll(descriptors, 0.0):
                return ready
            if not self.at or self.at[0][0] > until:
                self.now = until
                return []
            self.now, call = self.at.pop(0)
            call()

    @property
    def timing(self) -> Timing:
        return Timing(
            monotonic=lambda: self.now, wall=lambda: self.now, sleep=lambda _: None, poll=self.poll, wait_seconds=0.1
        )


class Followed:
    """A source that follows names, by virtual time."""

    def __init__(self, *names: Path, open_watcher: Callable[[], DirectoryWatcher] = Inotify.open) -> None:
        self.clock = Clock()
        self.notes = Notebook()
        self.source: LineSource = open_sources(
            [str(name) for name in names], (), follow=True, logger=self.notes,
            timing=replace(self.clock.timing, open_watcher=open_watcher),
        )  # fmt: skip

    def lines_within(self, seconds: float) -> list[bytes]:
        """Read for the given time."""
        until = self.clock.now + seconds
        lines: list[bytes] = []
        while self.clock.now < until:
            lines += [line.data for line in self.source.read().lines]
        return lines

    def seconds_to(self, *expected: bytes) -> float:
        """Read the expected lines and no others. Returns the time that it took."""
        began = self.clock.now
        lines: list[bytes] = []
        while len(lines) < len(expected):
            lines += [line.data for line in self.source.read().lines]
            assert self.clock.now < began + 60, lines
        assert list(expected) == lines
        return self.clock.now - began


@contextmanager
def following(*names: Path, open_watcher: Callable[[], DirectoryWatcher] = Inotify.open) -> Iterator[Followed]:
    followed = Followed(*names, open_watcher=open_watcher)
    try:
        yield followed
    finally:
        followed.source.close()


def append(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line + b"\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    append(path, b"a")
    return path


@pytest.mark.parametrize("open_watcher", [Inotify.open, no_watcher])
def test_files_at_rest_wake_the_relay_once_a_second(path: Path, open_watcher: Callable[[], DirectoryWatcher]) -> None:
    """Whether or not the system reports changes. A read that waits longer than a second does not add a wake-up."""
    with following(path, open_watcher=open_watcher) as followed:
        followed.lines_within(30.0)
        before = followed.clock.waits
        assert [] == followed.lines_within(100.0)
        reads = 100.0 / 0.1  # each ends after wait_seconds
        assert followed.clock.waits - before - reads <= 100.0 / MAX_READ_INTERVAL_SECONDS + 1


def test_written_line_is_read_at_once(path: Path) -> None:
    """A report of the system ends the wait. Lines that are written together are read together."""
    with following(path) as followed:
        followed.lines_within(30.0)
        append(path, b"b")
        append(path, b"c")
        assert followed.seconds_to(b"b", b"c") == 0.0
        append(path, b"d")
        assert followed.seconds_to(b"d") <= MIN_GATHER_SECONDS


def test_line_is_read_at_once_whatever_happens_to_the_file(path: Path) -> None:
    """Rotation by rename, rotation by copy, and removal; with the new file written at once or later."""
    with following(path) as followed:
        followed.lines_within(30.0)
        append(path, b"b")
        rotated = path.rename(f"{path}.1")
        append(rotated, b"c")
        append(path, b"d")
        assert followed.seconds_to(b"b", b"c", b"d") <= MIN_GATHER_SECONDS
        followed.lines_within(30.0)
        append(rotated, b"e")
        assert followed.seconds_to(b"e") <= MIN_GATHER_SECONDS
        os.truncate(path, 0)
        append(path, b"f")
        assert followed.seconds_to(b"f") <= 2 * MIN_GATHER_SECONDS
        path.unlink()
        followed.lines_within(30.0)
        append(path, b"g")
        assert followed.seconds_to(b"g") <= MIN_GATHER_SECONDS


def test_line_of_a_file_behind_links_is_read_at_once(tmp_path: Path) -> None:
    """The file is in another directory, as the logs of containers are, and the directory has a linked name, too."""
    (tmp_path / "pods" / "one").mkdir(parents=True)
    target = tmp_path / "pods" / "one" / "0.log"
    append(target, b"a")
    (tmp_path / "middle.log").symlink_to(target)
    (tmp_path / "app.log").symlink_to("middle.log")
    (tmp_path / "current").symlink_to("pods")
    other = tmp_path / "current" / "one" / "1.log"
    append(other, b"x")
    with following(tmp_path / "app.log", other) as followed:
        followed.lines_within(30.0)
        append(target, b"b")
        assert followed.seconds_to(b"b") <= MIN_GATHER_SECONDS
        append(other, b"y")
        assert followed.seconds_to(b"y") <= MIN_GATHER_SECONDS


def test_new_file_and_new_directory(tmp_path: Path) -> None:
    """A new file in a watched directory is found at once, and one in a new directory by the next search."""
    (tmp_path / "a").mkdir()
    with following(tmp_path / "a", tmp_path / "later" / "app.log") as followed:
        followed.lines_within(30.0)
        append(tmp_path / "a" / "one.log", b"a")
        assert followed.seconds_to(b"a") <= 2 * MIN_GATHER_SECONDS
        (tmp_path / "later").mkdir()
        append(tmp_path / "later" / "app.log", b"b")
        assert followed.seconds_to(b"b") <= MAX_READ_INTERVAL_SECONDS
        append(tmp_path / "later" / "app.log", b"c")
        assert followed.seconds_to(b"c") <= MIN_GATHER_SECONDS


def test_replaced_directory_is_watched_again(path: Path) -> None:
    """A directory that is renamed and created again reports changes after the next round of checks."""
    directory = path.parent / "logs"
    directory.mkdir()
    with following(directory / "app.log") as followed:
        followed.lines_within(5.0)
        directory.rename(path.parent / "old")
        directory.mkdir()
        append(directory / "app.log", b"a")
        assert followed.seconds_to(b"a") <= MAX_READ_INTERVAL_SECONDS
        followed.lines_within(5.0)
        append(directory / "app.log", b"b")
        assert followed.seconds_to(b"b") <= MIN_GATHER_SECONDS


def test_files_of_others_wake_the_relay_less_and_less(path: Path) -> None:
    """A busy file that is not followed, in the same directory, costs at most ten wake-ups a second."""
    with following(path) as followed:
        followed.lines_within(5.0)
        busy, clock = path.with_name("other"), followed.clock
        clock.at = [(clock.now + n / 1000, lambda: append(busy, b"x")) for n in range(20_000)]
        followed.lines_within(10.0)
        before = clock.waits
        assert [] == followed.lines_within(10.0)
        assert clock.waits - before <= 10.0 / MAX_GATHER_SECONDS * 3 + 10
        append(path, b"b")
        assert followed.seconds_to(b"b") <= MAX_GATHER_SECONDS


def test_without_reports_a_growing_file_is_checked_more_often(path: Path) -> None:
    """The interval is short while lines arrive, and grows to a second at rest. One warning explains it."""
    with following(path, open_watcher=no_watcher) as followed:
        followed.lines_within(30.0)
        append(path, b"b")
        assert followed.seconds_to(b"b") <= MAX_READ_INTERVAL_SECONDS
        for _ in range(20):
            append(path, b"c")
            assert followed.seconds_to(b"c") <= 2 * MIN_READ_INTERVAL_SECONDS
        assert [NO_WATCH] == followed.notes.warnings


def test_changes_of_another_machine_are_found(path: Path) -> None:
    """On a network file system a watch succeeds and reports nothing of other machines."""

    class Deaf(Inotify):
        def watch(self, directory: str) -> int:
            return len(directory)

    with following(path, open_watcher=Deaf.open) as followed:
        followed.lines_within(30.0)
        append(path, b"b")
        assert followed.seconds_to(b"b") <= MAX_READ_INTERVAL_SECONDS
        append(path, b"c")
        assert followed.seconds_to(b"c") <= 2 * MIN_READ_INTERVAL_SECONDS
        assert [] == followed.notes.warnings


def test_limit_of_watches_is_reported_once(tmp_path: Path) -> None:
    """Directories beyond the system's limit are checked in rounds. Those before it still report changes."""

    class Limited(Inotify):
        def watch(self, directory: str) -> int:
            if "full" in directory:
                raise OSError(errno.ENOSPC, "no space")
            return super().watch(directory)

    paths = [tmp_path / name / "app.log" for name in ("free", "full-1", "full-2")]
    for path in paths:
        path.parent.mkdir()
        append(path, b"a")
    with following(*paths, open_watcher=Limited.open) as followed:
        followed.lines_within(30.0)
        append(paths[0], b"b")
        assert followed.seconds_to(b"b") <= MIN_GATHER_SECONDS
        followed.lines_within(30.0)
        append(paths[2], b"c")
        assert followed.seconds_to(b"c") <= MAX_READ_INTERVAL_SECONDS
        assert [NO_WATCH] == followed.notes.warnings


def test_dropped_reports_lead_to_a_round(path: Path) -> None:
    """If the system dropped reports, all files are checked at once."""
    append(other := path.with_name("other.log"), b"a")

    class Forgetful(Inotify):
        def take(self) -> list:  # type: ignore[type-arg]
            return [event._replace(watch=-1, name="", is_overflow=True) for event in super().take()]

    with following(path, other, open_watcher=Forgetful.open) as followed:
        followed.lines_within(30.0)
        append(other, b"b")
        append(path, b"c")
        assert followed.seconds_to(b"c", b"b") <= MIN_GATHER_SECONDS


@pytest.mark.parametrize("follow", [True, False])
def test_stop_ends_a_wait(tmp_path: Path, follow: bool) -> None:
    """A read that waits for a pipe or a file returns when the relay stops, and not at the end of its wait."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    source = open_sources([str(pipe)], (), follow=follow, logger=Notebook())
    ended: list[bool] = []
    reading = threading.Thread(target=lambda: ended.append(source.read().end), daemon=True)
    reading.start()
    reading.join(0.05)
    source.finish()
    reading.join(30.0)  # less than the longest wait
    assert [True] == ended
    source.close()
    os.close(writer)


@pytest.mark.parametrize("is_reported", [True, False])
def test_reported_lines_need_no_round(path: Path, monkeypatch: pytest.MonkeyPatch, *, is_reported: bool) -> None:
    """While the system reports the lines of a log, the rounds of checks remain a second apart. Otherwise they come
    more often while lines arrive.
    """
    rounds: list[float] = []
    begin_round = FollowSource._begin_round

    def noted(source: FollowSource, now: float, interval: float) -> None:
        rounds.append(now)
        begin_round(source, now, interval)

    monkeypatch.setattr(FollowSource, "_begin_round", noted)
    with following(path, open_watcher=Inotify.open if is_reported else no_watcher) as followed:
        followed.lines_within(5.0)
        rounds.clear()
        start = followed.clock.now
        followed.clock.at = [(start + 0.1 * number, lambda: append(path, b"b")) for number in range(1, 51)]
        assert [b"b"] * 50 == followed.lines_within(6.5)
        assert (len(rounds) <= 8) is is_reported, rounds
