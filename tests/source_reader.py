"""Reads sources in tests: to their end, until a condition holds, or for some time."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from hookline.relay.delivery_record import Line
from hookline.relay.sources.open import open_sources
from hookline.relay.sources.source import MAX_LINES_PER_BATCH, LineSource, Position
from hookline.relay.sources.timing import Timing

WAIT_SECONDS = 0.1  # the longest wait of a read


def no_watcher() -> NoReturn:
    """Implements Timing.open_watcher for a system without inotify."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


class Notebook:
    """Implements source.SourceLog: keeps every note as (level, text, fields)."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, what: str, **fields: object) -> None:
        self.said.append(("debug", what, fields))

    def info(self, what: str, **fields: object) -> None:
        self.said.append(("info", what, fields))

    def warning(self, what: str, **fields: object) -> None:
        self.said.append(("warning", what, fields))

    @property
    def warnings(self) -> list[str]:
        return [what for level, what, _ in self.said if level == "warning"]


class Book:
    """Stands in for a spool: the latest position of each content, and the lines that were read."""

    def __init__(self, positions: Iterable[Position] = ()) -> None:
        self.positions: dict[tuple[bytes, int, int], Position] = {}
        self.notes = Notebook()
        self.unfinished: list[tuple[str, int]] = []
        self.already_read: list[str] = []
        self.is_event: Callable[[bytes], bool] = lambda _: False
        self.links_below: Sequence[str] = ()
        self.timing = Timing(wait_seconds=WAIT_SECONDS)
        for position in positions:
            self._keep(position)

    def _keep(self, position: Position) -> None:
        position = replace(position, at=time.time())
        self.positions.pop((b"", position.device, position.inode), None)
        self.positions[position.key, 0 if position.key else position.device, position.inode * (not position.key)] = (
            position
        )

    def run(self, *names: Path | str, from_start: bool = False) -> list[bytes]:
        """The lines that a finite run over the files reads."""
        return [line.data for line in self.lines(*names, from_start=from_start)]

    def lines(self, *names: Path | str, from_start: bool = False) -> list[Line]:
        source = self.open(*names, from_start=from_start)
        try:
            lines: list[Line] = []
            while not self.take(source, lines):
                pass
            self.unfinished = source.unfinished()
            self.already_read = source.already_read()
        finally:
            source.close()
        return lines

    def open(self, *names: Path | str, follow: bool = False, from_start: bool = False) -> LineSource:
        return open_sources(
            [str(name) for name in names], [] if from_start else list(self.positions.values()), follow=follow,
            logger=self.notes, is_event=self.is_event, links_below=self.links_below,
            timing=self.timing,
        )  # fmt: skip

    def take(self, source: LineSource, lines: list[Line]) -> bool:
        """Read one batch, as the relay does; whether it was the last."""
        batch = source.read()
        assert len(batch.lines) <= MAX_LINES_PER_BATCH
        assert not batch.lines or batch.source
        lines += batch.lines
        if batch.position.name:
            self._keep(batch.position)
        return batch.end

    @contextmanager
    def following(self, *names: Path | str) -> Iterator[Follower]:
        follower = Follower(self, self.open(*names, follow=True))
        try:
            yield follower
        finally:
            follower.source.close()

    @property
    def reached(self) -> Position:
        """The position of the only source."""
        (position,) = self.positions.values()
        return position


class Follower:
    """A following source that the test reads step by step."""

    def __init__(self, book: Book, source: LineSource) -> None:
        self.book = book
        self.source = source

    def takes(self, *expected: bytes, timeout: float = 20) -> None:
        """Read as many lines as expected, and half a second longer: exactly these lines must come."""
        lines = self._read_until(lambda lines: len(lines) >= len(expected), timeout)
        lines += self.read_for(0.5)
        assert list(expected) == [line.data for line in lines]

    def takes_nothing(self) -> None:
        self.takes()

    def read_lines(self, n: int, timeout: float = 20) -> list[Line]:
        """Read until at least `n` lines have come."""
        return self._read_until(lambda lines: len(lines) >= n, timeout)

    def until(self, condition: Callable[[], bool], timeout: float = 20) -> list[Line]:
        """Read until the condition holds."""
        return self._read_until(lambda _: condition(), timeout)

    def _read_until(self, enough: Callable[[list[Line]], bool], timeout: float) -> list[Line]:
        deadline = time.monotonic() + timeout
        lines: list[Line] = []
        while not enough(lines):
            assert time.monotonic() < deadline, f"still waiting; came: {lines}, said: {self.book.notes.said}"
            self.book.take(self.source, lines)
        return lines

    def read_for(self, seconds: float) -> list[Line]:
        deadline = time.monotonic() + seconds
        lines: list[Line] = []
        while time.monotonic() < deadline:
            self.book.take(self.source, lines)
        return lines
