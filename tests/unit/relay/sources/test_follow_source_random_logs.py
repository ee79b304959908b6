"""Logs that grow, rotate and are compressed at random, and a reader that stops and starts at random."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hookline.relay.delivery_record import Line
from hookline.relay.sources import file_content, follow_source, rotated_log
from hookline.relay.sources.timing import Timing
from source_reader import Book, no_watcher

KEPT = 30
TICK = 0.005  # files that change within one tick of the kernel have the same time: nobody could say which is older


class Rotating:
    """A log as its writer and logrotate treat it. Numbered lines; `header` begins each file."""

    def __init__(self, path: Path, rng: random.Random, header: bytes) -> None:
        self.path = path
        self.rng = rng
        self.header = header
        self.written: list[bytes] = []
        self.partial = b""

    def append(self) -> None:
        time.sleep(TICK)
        new = b""
        for _ in range(self.rng.choice([1, 3, 40, 900])):
            line = b"%d %s" % (len(self.written), b"x" * self.rng.choice([0, 5, 60]))
            self.written.append(line)
            new += line + b"\n"
        whole = self.partial + new
        # Sometimes the writer is in the middle of a line; not of the first: a header alone looks like any other.
        cut = len(whole) - (0 if self._is_fresh() else self.rng.choice([0, 0, 1, 3]))
        self._write(whole[:cut])
        self.partial = whole[cut:]

    def flush(self) -> None:
        self._write(self.partial)
        self.partial = b""

    def _write(self, data: bytes) -> None:
        header = self.header if data and self._is_fresh() else b""
        with self.path.open("ab") as file:
            file.write(header + data)

    def _is_fresh(self) -> bool:
        return not self.path.exists() or not self.path.stat().st_size

    def _make_room(self) -> None:
        for number in range(KEPT, 0, -1):
            for suffix in ("", ".gz"):
                if (old := self.path.with_name(f"app.log.{number}{suffix}")).exists():
                    old.rename(self.path.with_name(f"app.log.{number + 1}{suffix}"))

    def rename(self) -> None:
        time.sleep(TICK)
        self.flush()
        self._make_room()
        if self.path.exists():
            self.path.rename(f"{self.path}.1")

    def copytruncate(self) -> None:
        time.sleep(TICK)
        self.flush()
        self._make_room()
        shutil.copy(self.path, f"{self.path}.1")
        os.truncate(self.path, 0)

    def compress(self) -> None:
        """The newest one that is not compressed, or an older one."""
        plain = [one for one in self.path.parent.glob("app.log.*") if one.suffix != ".gz"]
        if plain:
            chosen = self.rng.choice(plain)
            packed = chosen.with_name(chosen.name + ".gz")
            packed.write_bytes(gzip.compress(chosen.read_bytes(), 1))
            shutil.copystat(chosen, packed)
            chosen.unlink()


def lines_of(lines: list[Line], header: bytes) -> list[bytes]:
    return [line.data for line in lines if line.data != header.rstrip(b"\n")]


@pytest.mark.parametrize("header", [b"", b"# a log\n", b"# a log with a long header " + b"-" * 2000 + b"\n"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_each_line_comes_once_and_in_order(
    tmp_path: Path, header: bytes, seed: int, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between and during runs, the lines are those that were written, in their order.

    A run that stops keeps the positions of the batches that were taken, and nothing else.
    """
    monkeypatch.setattr(follow_source, "MIN_READ_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(follow_source, "MAX_READ_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(follow_source, "SCAN_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(rotated_log, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(file_content, "QUIET_SECONDS", 0.0)  # no copy and no archive is met half made
    rng = random.Random(seed)
    log = Rotating(tmp_path / "app.log", rng, header)
    book = Book()
    timing = Timing(wait_seconds=0.003)
    book.timing = timing if seed % 2 else replace(timing, open_watcher=no_watcher)
    taken: list[Line] = []
    log.append()
    log.flush()
    with book.following(tmp_path / pattern) as follower:
        taken += follower.read_lines(1)
    for _ in range(12):
        with book.following(tmp_path / pattern) as follower:
            for _ in range(rng.randrange(6)):
                rng.choice([log.append, log.append, log.append, log.rename, log.copytruncate, log.compress])()
                for _ in range(rng.randrange(4)):
                    book.take(follower.source, taken)
        for _ in range(rng.randrange(3)):
            rng.choice([log.append, log.append, log.rename, log.compress])()
    log.flush()
    with book.following(tmp_path / pattern) as follower:
        last = log.written[-1]
        deadline = 200
        while last not in {line.data for line in taken[-1000:]} and (deadline := deadline - 1):
            book.take(follower.source, taken)
        for _ in range(20):
            book.take(follower.source, taken)
    assert log.written == lines_of(taken, header)
