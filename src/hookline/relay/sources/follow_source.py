"""Follows files as they grow, rotate and appear, and pipes whose writers come and go."""

from __future__ import annotations

import os
import resource
import select
import stat
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from hookline.errors import HooklineError
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.input_files import STANDARD_INPUT, files_in, is_pattern_or_directory, open_reader
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_log import RotatedLog, TrackedFile
from hookline.relay.sources.rotated_names import base_of, display_name
from hookline.relay.sources.rotation_search import InodeIdentity
from hookline.relay.sources.source import START_POSITION, WAIT_SECONDS, Batch, SourceLag, SourceLog

READ_INTERVAL_SECONDS = 0.2  # seconds between two looks at the files
SCAN_INTERVAL_SECONDS = 1.0  # seconds between two looks for new files in directories and patterns
MAX_OPEN_FILES = 512


class FollowSource:
    """Implements port.LineSource. Each log, and each pipe, gets its turn: a long one does not hold up the others."""

    def __init__(self, names: Sequence[str], checkpoints: Checkpoints, notes: SourceLog) -> None:
        self._unknown = list(dict.fromkeys(names))  # not seen yet: they may become anything
        self._gathering: list[str] = []  # directories and patterns
        self._listings: dict[str, list[str]] = {}
        self._unlisted: set[str] = set()
        self._checkpoints = checkpoints
        self._notes = notes
        self._held: dict[InodeIdentity, TrackedFile] = {}
        self._trails: dict[str, RotatedLog] = {}
        self._pipes: list[PipeReader] = []
        self._turns: deque[RotatedLog | PipeReader] = deque()
        self._finishing = False
        self._next_housekeeping = 0.0
        self._next_scan = 0.0
        self._bytes = 0
        # Half of what the system allows: the spool and the connections need some, too.
        self._most_open = min(MAX_OPEN_FILES, max(8, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))

    def read(self) -> Batch:
        deadline = time.monotonic() + WAIT_SECONDS
        if self._finishing:
            return self._rest()
        while True:
            now = time.monotonic()
            if now >= self._next_housekeeping:
                self._look(now)
            if (batch := self._one_turn(now)) is not None:
                return batch
            if self._over():
                return Batch("", [], START_POSITION, True)
            if (now := time.monotonic()) >= deadline:
                return Batch("", [], START_POSITION, False)
            if not self._turns:
                self._wait(min(deadline, self._next_housekeeping) - now)

    def lags(self) -> list[SourceLag]:
        of_files = [lag for trail in tuple(self._trails.values()) for lag in trail.lags()]
        return of_files + [pipe.lag() for pipe in tuple(self._pipes)]

    def progress(self) -> tuple[int, int | None]:
        return self._bytes, None

    def unfinished(self) -> list[tuple[str, int]]:
        """Of pipes; what was taken of a file's line stays in the file."""
        return [(pipe.name, pipe.unfinished) for pipe in self._pipes if self._finishing and pipe.unfinished]

    def finish(self) -> None:
        self._finishing = True

    def _rest(self) -> Batch:
        """What was taken out of pipes; the lines of files stay in the files."""
        for pipe in self._pipes:
            pipe.finish()
            if lines := pipe.read(0):
                return Batch(pipe.name, lines, pipe.take_position(), False)
        return Batch("", [], START_POSITION, True)

    def close(self) -> None:
        for trail in self._trails.values():
            trail.close()
        for pipe in self._pipes:
            pipe.close()

    # -- looking

    def _look(self, now: float) -> None:
        self._next_housekeeping = now + READ_INTERVAL_SECONDS
        for name in list(self._unknown):
            self._make_out(name)
        if now >= self._next_scan:
            self._next_scan = now + SCAN_INTERVAL_SECONDS
            self._scan()
        for trail in self._trails.values():
            trail.look(now)
        for key in [key for key, trail in self._trails.items() if trail.is_empty]:
            del self._trails[key]
        waiting = set(map(id, self._turns))
        everyone: list[RotatedLog | PipeReader] = [*self._trails.values(), *self._pipes]
        self._turns += [one for one in everyone if id(one) not in waiting]

    def _make_out(self, name: str) -> None:
        """What a name stands for, once something is there."""
        if name == STANDARD_INPUT:
            self._unknown.remove(name)
            self._open_stream(name)
        elif is_pattern_or_directory(name):
            self._unknown.remove(name)
            self._trails.pop(name, None)
            self._gathering.append(name)
            if not self._listed(name) and name not in self._unlisted:
                self._notes.warning("no file exists yet, waiting for one", source=display_name(name))
        elif _is_stream(name):
            self._unknown.remove(name)
            self._trails.pop(name, None)
            self._open_stream(name)
        else:
            trail = self._trails.setdefault(name, self._new_trail(name, named=True))
            if trail.places:
                self._unknown.remove(name)

    def _open_stream(self, name: str) -> None:
        reader = open_reader(name, self._checkpoints, self._notes, follow=True)
        if isinstance(reader, FileReader):  # standard input, redirected from a file
            self._trails[name] = self._new_trail(name, named=True)
            self._trails[name].adopt(reader)
        else:
            self._pipes.append(reader)

    def _new_trail(self, path: str, *, named: bool) -> RotatedLog:
        return RotatedLog(path, self._held, self._checkpoints, self._notes, named=named, most_open=self._most_open)

    def _scan(self) -> None:
        """Sort what is in directories and patterns by the log that it belongs to."""
        found = {path for name in self._gathering for path in self._listed(name)}
        members: dict[str, set[str]] = {}
        for path in found:
            base, packed = base_of(Path(path).name)
            log = str(Path(path).parent / base) if Path(path).parent != Path() else base
            # ``app.log.1`` is a rotated file. ``worker-1`` may be a log of its own: only beside ``worker`` it is one.
            is_rotated = packed or "." in base or log in found or log in self._trails
            members.setdefault(log if is_rotated else path, set()).add(path)
        for key in members.keys() - self._trails.keys():
            self._trails[key] = self._new_trail(key, named=False)
        for key, trail in self._trails.items():
            trail.members = members.get(key, ())

    def _listed(self, name: str) -> list[str]:
        """The files of a directory or pattern; while that cannot be listed those that it had, which is said once."""
        try:
            self._listings[name] = files_in(name)
            self._unlisted.discard(name)
        except HooklineError as error:
            if name not in self._unlisted:
                self._unlisted.add(name)
                self._notes.warning(
                    "directory cannot be listed, will try again",
                    source=display_name(name),
                    reason=error.message,
                    hint=error.hint,
                )
        return self._listings.get(name, [])

    # -- reading

    def _one_turn(self, now: float) -> Batch | None:
        if not self._turns:
            return None
        one = self._turns.popleft()
        if isinstance(one, PipeReader):
            return self._read_pipe(one)
        found = one.read(now)
        if found.more:
            self._turns.append(one)
        if not found.lines and found.position is START_POSITION:
            return None
        self._bytes += sum(line.length for line in found.lines)
        return Batch(found.source, found.lines, found.position, False)

    def _read_pipe(self, pipe: PipeReader) -> Batch | None:
        try:
            lines = pipe.read(0)
        except HooklineError as error:
            self._notes.warning("pipe can no longer be read", source=pipe.name, reason=error.message)
            self._drop(pipe)
            return None
        position = pipe.take_position()
        if pipe.ended:
            self._drop(pipe)
        elif lines:
            self._turns.append(pipe)
        self._bytes += sum(line.length for line in lines)
        return Batch(pipe.name, lines, position, self._over()) if lines else None

    def _drop(self, pipe: PipeReader) -> None:
        self._pipes.remove(pipe)
        pipe.close()

    def _over(self) -> bool:
        """Only where there were nothing but pipes that cannot come back."""
        return not (self._pipes or self._trails or self._gathering or self._unknown)

    def _wait(self, seconds: float) -> None:
        """Until a pipe has something, or the time is over."""
        # One whose writers are gone would be ready all the time; it is asked at every look.
        awake = {pipe.descriptor: pipe for pipe in self._pipes if not pipe.deserted}
        poll = select.poll()
        for descriptor in awake:
            poll.register(descriptor, select.POLLIN | select.POLLPRI)
        self._turns += [awake[descriptor] for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]


def _is_stream(name: str) -> bool:
    """A pipe, a socket, a terminal: what is read as it comes."""
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - the name may be no path
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
