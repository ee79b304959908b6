"""The source of a run with --follow: files that grow, rotate and appear, and pipes that writers open and close."""

from __future__ import annotations

import os
import resource
import stat
from collections import deque
from collections.abc import Sequence

from hookline.errors import HooklineError
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.read_context import ReadContext, ReadingStopped
from hookline.relay.sources.files.rotated_files import InodeIdentity
from hookline.relay.sources.input_files import (
    STANDARD_INPUT,
    is_pattern_or_directory,
    list_files,
    listing_root,
    open_reader,
)
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_log import RotatedLog
from hookline.relay.sources.rotated_names import base_of, display_name
from hookline.relay.sources.source import START_POSITION, WAIT_SECONDS, Batch, SourceLag
from hookline.relay.sources.tracked_file import TrackedFile

READ_INTERVAL_SECONDS = 0.2  # between checks of the files
SCAN_INTERVAL_SECONDS = 1.0  # between searches for new files in directories and patterns
# A check of a file costs a few microseconds. With many files the checks are therefore farther apart, and a round
# checks only every second one of those that have not changed for some rounds.
READ_INTERVAL_PER_FILE_SECONDS = 0.0004
MAX_READ_INTERVAL_SECONDS = 10.0
SLICE_SECONDS = 0.02  # after this time of checks, available lines are read before the next checks
MAX_OPEN_FILES = 512
CHECK_FAILED = "file cannot be inspected, will try again"


class FollowSource:
    """Implements LineSource. Reads logs and pipes in turn, so that a long one does not delay the others."""

    def __init__(self, names: Sequence[str], context: ReadContext) -> None:
        self._unresolved = list(dict.fromkeys(names))  # names that do not exist yet, of any kind
        self._patterns: list[str] = []  # patterns and directories
        self._listings: dict[str, list[str]] = {}
        self._failed_listings: set[str] = set()
        self._failed_checks: dict[tuple[str, str], str] = {}
        self._context = context
        self._logger = context.logger
        self._timing = context.timing
        self._tracked: dict[InodeIdentity, TrackedFile] = {}
        self._logs: dict[str, RotatedLog] = {}
        self._pipes: list[PipeReader] = []
        self._turns: deque[RotatedLog | PipeReader] = deque()
        self._unchecked: deque[RotatedLog] = deque()
        self._next_round = self._next_scan = 0.0
        self._round = 0
        self._found: list[list[str]] | None = None
        self._emptying: list[RotatedLog] = []  # logs that no pattern or directory contains any more
        self._bytes = 0
        # Half of the system's limit, because the spool and the connections need descriptors, too.
        self._max_open = min(MAX_OPEN_FILES, max(8, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))

    def read(self) -> Batch:
        try:
            return self._read()
        except ReadingStopped:
            return self._drain_pipes()

    def _read(self) -> Batch:
        deadline = self._timing.monotonic() + WAIT_SECONDS
        while True:
            self._context.stop.check()
            now = self._timing.monotonic()
            self._check_files(now)
            if (batch := self._next_turn(now)) is not None:
                return batch
            if self._is_at_end():
                return Batch("", [], START_POSITION, True)
            if (now := self._timing.monotonic()) >= deadline:
                return Batch("", [], START_POSITION, False)
            if not self._turns and not self._unchecked:
                # A pipe without writers would always be ready. It is read at every check of the files.
                polled = {pipe.descriptor: pipe for pipe in self._pipes if not pipe.has_no_writers}
                seconds = min(deadline, self._next_round) - now
                self._turns += [polled[descriptor] for descriptor in self._timing.poll(list(polled), seconds)]

    def lags(self) -> list[SourceLag]:
        of_files = [lag for log in tuple(self._logs.values()) for lag in log.lags()]
        return of_files + [pipe.lag() for pipe in tuple(self._pipes)]

    def progress(self) -> tuple[int, int | None]:
        return self._bytes, None

    def unfinished(self) -> list[tuple[str, int]]:
        """Returns the incomplete lines of pipes. Incomplete lines of files remain in the file."""
        pipes = self._pipes if self._context.stop.requested else []
        return [(pipe.name, pipe.unfinished_bytes) for pipe in pipes if pipe.unfinished_bytes]

    def stray_bytes(self) -> int:
        return self._context.stray.total

    def already_read(self) -> list[str]:
        return []

    def finish(self) -> None:
        self._context.stop.requested = True

    def _drain_pipes(self) -> Batch:
        """Returns the lines that were taken from pipes. Lines of files remain in the files."""
        for pipe in self._pipes:
            pipe.finish()
            if lines := pipe.read(0):
                return Batch(pipe.name, lines, pipe.take_position(), False)
        return Batch("", [], START_POSITION, True)

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
        for pipe in self._pipes:
            pipe.close()

    def _check_files(self, now: float) -> None:
        """Checks the files, in a round at each interval. Takes at most a slice of time, and continues later."""
        if not self._unchecked:
            if now < self._next_round:
                return
            interval = len(self._logs) * READ_INTERVAL_PER_FILE_SECONDS
            interval = min(max(READ_INTERVAL_SECONDS, interval), MAX_READ_INTERVAL_SECONDS)
            self._next_round = now + interval
            self._begin_round(now, interval)
        until = now + SLICE_SECONDS
        changed = []
        while self._unchecked and (now := self._timing.monotonic()) < until:
            log = self._unchecked.popleft()
            if not log.last_check.is_unchanged(log.path):
                self._check(log, now)
            if not log.is_settled:
                changed.append(log)
            self._context.stop.check()
        self._turns = deque(dict.fromkeys((*self._turns, *changed)))

    def _begin_round(self, now: float, interval: float) -> None:
        for name in list(self._unresolved):
            try:
                self._resolve(name)
            except HooklineError as error:
                if name == STANDARD_INPUT:
                    raise
                self._report_failed_check(name, "pipe cannot be opened, will try again", error.message)
        if now >= self._next_scan:
            self._next_scan = now + max(SCAN_INTERVAL_SECONDS, interval)
            self._scan()
        # Logs become empty when a scan finds their files gone, and when their last file is finished.
        for key in [log.path for log in self._emptying if log.is_empty and log.path in self._logs]:
            del self._logs[key]
        self._emptying = [log for log in self._emptying if log.path in self._logs]
        self._round += 1
        may_skip = READ_INTERVAL_SECONDS < interval <= MAX_READ_INTERVAL_SECONDS / 2
        self._unchecked = deque(
            log
            for index, log in enumerate(self._logs.values())
            if not (may_skip and log.last_check.is_quiet and (index + self._round) % 2)
        )
        self._turns = deque(dict.fromkeys((*self._turns, *self._pipes)))

    def _check(self, log: RotatedLog, now: float) -> None:
        """Checks the names of a log. An error of the system, such as a stale handle, does not end the relay."""
        try:
            log.check_names(now)
        except OSError as error:
            self._report_failed_check(log.path, CHECK_FAILED, str(error))
            return
        if self._failed_checks:
            self._failed_checks.pop((log.path, CHECK_FAILED), None)

    def _report_failed_check(self, name: str, event: str, reason: str) -> None:
        """Logs a failure, unless it is the one that was logged last."""
        if self._failed_checks.get((name, event)) != reason:
            self._failed_checks[name, event] = reason
            self._logger.warning(event, source=display_name(name), reason=reason)

    def _resolve(self, name: str) -> None:
        """Decides the kind of a name: standard input, a directory or pattern, a pipe, or a log."""
        if name == STANDARD_INPUT or _is_stream(name):
            reader = open_reader(name, self._context, follow=True)
            self._unresolved.remove(name)
            self._logs.pop(name, None)
            if isinstance(reader, FileReader):  # standard input, redirected from a file
                self._logs[name] = self._new_log(name, root=None)
                self._logs[name].adopt(reader)
            else:
                self._pipes.append(reader)
        elif is_pattern_or_directory(name):
            self._unresolved.remove(name)
            self._logs.pop(name, None)
            self._patterns.append(name)
            if not self._listed(name) and name not in self._failed_listings:
                self._logger.warning("no file exists yet, waiting for one", source=display_name(name))
        else:
            log = self._logs.setdefault(name, self._new_log(name, root=None))
            if log.files:
                self._unresolved.remove(name)

    def _new_log(self, path: str, *, root: str | None) -> RotatedLog:
        return RotatedLog(path, self._tracked, self._context, root=root, max_open=self._max_open)

    def _scan(self) -> None:
        """Assigns the files of directories and patterns to their logs."""
        listed = [self._listed(name) for name in self._patterns]
        if listed == self._found:
            return
        self._found = listed
        found = {
            path: index for index, paths in reversed([*enumerate(listed)]) for path in paths
        }  # the first name that lists a path
        members: dict[str, list[str]] = {}
        listed_by: dict[str, int] = {}
        for path, index in found.items():
            directory, name = os.path.split(path)
            base, packed = base_of(name)
            log_path = os.path.join(directory, base)
            # ``app.log.1`` is a rotated file. ``worker-1`` is a rotated file only beside ``worker``.
            is_rotated = packed or "." in base or log_path in found or log_path in self._logs
            key = log_path if is_rotated else path
            members.setdefault(key, []).append(path)
            listed_by.setdefault(key, index)
        roots = [listing_root(name) for name in self._patterns]
        for key in members:
            if key not in self._logs:
                self._logs[key] = self._new_log(key, root=roots[listed_by[key]])
        for key, log in self._logs.items():
            log.set_members(members.get(key, ()))
        self._emptying = [log for key, log in self._logs.items() if key not in members]

    def _listed(self, name: str) -> list[str]:
        """Returns the files of a directory or pattern. If listing fails, logs it and returns the last listing."""
        try:
            self._listings[name] = list_files(name, self._context)
            self._failed_listings.discard(name)
        except HooklineError as error:
            if name not in self._failed_listings:
                self._failed_listings.add(name)
                event = "directory cannot be listed, will try again"
                self._logger.warning(event, source=display_name(name), reason=error.message, hint=error.hint)
        return self._listings.get(name, [])

    def _next_turn(self, now: float) -> Batch | None:
        if not self._turns:
            return None
        one = self._turns.popleft()
        if isinstance(one, PipeReader):
            return self._read_pipe(one)
        try:
            batch, more = one.read(now)
        except OSError as error:
            self._logger.warning("file cannot be read, will try again", source=one.path, reason=str(error))
            return None
        if more:
            self._turns.append(one)
        if not batch.lines and batch.position is START_POSITION:
            return None
        self._bytes += sum(line.length for line in batch.lines)
        return batch

    def _read_pipe(self, pipe: PipeReader) -> Batch | None:
        try:
            lines = pipe.read(0)
        except HooklineError as error:
            self._logger.warning("pipe can no longer be read", source=pipe.name, reason=error.message)
            self._drop(pipe)
            return None
        position = pipe.take_position()
        if pipe.ended:
            self._drop(pipe)
        elif lines:
            self._turns.append(pipe)
        self._bytes += sum(line.length for line in lines)
        return Batch(pipe.name, lines, position, self._is_at_end()) if lines else None

    def _drop(self, pipe: PipeReader) -> None:
        self._pipes.remove(pipe)
        pipe.close()

    def _is_at_end(self) -> bool:
        """Returns whether all sources were pipes that cannot be reopened, and all have ended."""
        return not (self._pipes or self._logs or self._patterns or self._unresolved)


def _is_stream(name: str) -> bool:
    """Returns whether the name is a pipe, a socket or a terminal."""
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
