"""The inputs of a simulation: a log that grows, rotates and is truncated, files that are complete, and a pipe."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import termios
from pathlib import Path

from simulation.events import SimulatedEvent
from simulation.world import World


class SimulatedLog:
    """A log file and its writer. The files are real; their times are those of the simulation."""

    def __init__(self, path: Path, world: World) -> None:
        self.path = path
        self._world = world
        self._unfinished = b""
        self._rotations = 0
        self._events: list[SimulatedEvent] = []

    @property
    def has_durable_line(self) -> bool:
        """Whether the relay has stored a line of the current file."""
        return any(event.durable for event in self._events)

    def append(self, events: list[SimulatedEvent], *, complete: bool) -> None:
        """Write the lines of these events; without `complete` the last one gets its end with the next call."""
        data = self._unfinished + b"".join(one.line() for one in events)
        keep = 0 if complete or not data else self._world.random.randint(1, min(len(data), 40))
        with self.path.open("ab") as file:
            file.write(data[: len(data) - keep])
        self._unfinished = data[len(data) - keep :]
        self._events += events
        for one in events:
            one.written(self._world.now)
        self._stamp(self.path)

    def rotate_by_rename(self, *, recreate: bool) -> None:
        """Rename the log to the next number; a new file gets its name at once, or with the next line."""
        self._finish_line()
        if not self.path.exists():
            return
        self._shift()
        self.path.rename(self._numbered(1))
        if recreate:
            self.path.touch()
            self._stamp(self.path)

    def rotate_by_copy(self) -> None:
        """Copy the log to the next number and truncate it, at one moment."""
        self._finish_line()
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        self._shift()
        shutil.copyfile(self.path, self._numbered(1))
        self._stamp(self._numbered(1))
        os.truncate(self.path, 0)
        self._stamp(self.path)

    def _finish_line(self) -> None:
        if self._unfinished:
            self.append([], complete=True)

    def _shift(self) -> None:
        for number in range(self._rotations, 0, -1):
            self._numbered(number).rename(self._numbered(number + 1))
        self._rotations += 1
        self._events = []

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _stamp(self, path: Path) -> None:
        moment = int(self._world.wall() * 1e9)
        os.utime(path, ns=(moment, moment))


class SimulatedPipe:
    """A named pipe and its producer."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        # Opened for reading too, so that the producer never waits for a reader.
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._unwritten = b""

    def write(self, data: bytes) -> None:
        """Write as much as fits; the rest follows with the next call."""
        assert self._descriptor is not None
        self._unwritten += data
        try:
            written = os.write(self._descriptor, self._unwritten)
        except BlockingIOError:
            return
        self._unwritten = self._unwritten[written:]

    @property
    def all_written(self) -> bool:
        """Whether the pipe took everything."""
        return not self._unwritten

    @property
    def all_read(self) -> bool:
        """Whether a reader took everything. A producer without a reader would wait before it could write."""
        assert self._descriptor is not None
        return int.from_bytes(fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)), sys.byteorder) == 0

    @property
    def closed(self) -> bool:
        """Whether the producer has ended."""
        return self._descriptor is None

    def close(self) -> None:
        """The producer ends."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
