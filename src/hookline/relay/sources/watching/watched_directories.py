"""The directories of followed logs, watched so that a change is noticed at once instead of at the next check."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Final

from hookline.relay.sources.rotated_names import display_name
from hookline.relay.sources.source import SourceLog
from hookline.relay.sources.timing import DirectoryWatcher, Timing

# Events that arrive close together are taken together: each wake-up costs a transaction of the spool.
MIN_GATHER_SECONDS: Final = 0.005
# If a directory has other files that are written all the time, most wake-ups are in vain.
MAX_GATHER_SECONDS: Final = 0.1
_LIMITS: Final = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSYS})


class WatchedDirectories:
    """Watches directories if the system can. Its results are hints: every log is still checked from time to time.

    Attributes:
        next_take: when `take` returns the next paths, on the monotonic clock.
    """

    def __init__(self, timing: Timing, logger: SourceLog) -> None:
        self._logger = logger
        self.next_take = 0.0
        self._gather = MIN_GATHER_SECONDS
        self._watches: dict[str, int] = {}  # by directory; directories that could not be watched have -1
        self._directories: dict[int, dict[str, None]] = {}  # the names of the directory of each watch
        self._is_full = False
        self._watcher: DirectoryWatcher | None = None
        try:
            self._watcher = timing.open_watcher()
        except OSError as error:
            self._report(str(error.strerror))

    @property
    def descriptors(self) -> list[int]:
        """Descriptors that are readable when `take` has something to return."""
        return [] if self._watcher is None else [self._watcher.descriptor]

    def add(self, paths: Iterable[str]) -> None:
        """Watches the directories of these files."""
        for path in paths:
            if (directory := os.path.dirname(path)) not in self._watches:
                self._watch(directory)

    def renew(self) -> None:
        """Watches again what has another directory now: renamed, mounted, or created after it was added."""
        for directory in list(self._watches):
            self._watch(directory)

    def _watch(self, directory: str) -> None:
        before = self._watches.get(directory, -1)
        watch = self._added(directory)
        self._watches[directory] = watch
        if watch == before:
            return
        if watch >= 0:
            self._directories.setdefault(watch, {})[directory] = None
        if (names := self._directories.get(before)) is not None:
            names.pop(directory, None)
            if not names:
                del self._directories[before]
                if self._watcher is not None:
                    self._watcher.unwatch(before)

    def _added(self, directory: str) -> int:
        if self._watcher is None or (self._is_full and self._watches.get(directory, -1) < 0):
            return -1
        try:
            return self._watcher.watch(directory or ".")
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _LIMITS:
                self._is_full = True
                self._report(str(error.strerror), directory)
            return -1

    def _report(self, reason: str, directory: str | None = None) -> None:
        event = "directories cannot be watched for changes, their files are checked once a second"
        hint = "raise the system's limits fs.inotify.max_user_watches and fs.inotify.max_user_instances"
        source = {} if directory is None else {"source": display_name(directory or ".")}
        self._logger.warning(event, **source, reason=reason, hint=hint)

    def take(self, now: float) -> tuple[dict[str, bool], bool]:
        """Returns the paths that have changed, each with whether it was only written, and whether others may have
        changed too. Both are empty until `next_take`.
        """
        if self._watcher is None or now < self.next_take:
            return {}, False
        paths: dict[str, bool] = {}
        lost = False
        for watch, name, is_write, is_lost, is_overflow in self._watcher.take():
            lost |= is_lost or is_overflow
            if is_lost:
                for directory in self._directories.pop(watch, ()):
                    self._watches[directory] = -1
                self._watcher.unwatch(watch)
            for directory in self._directories.get(watch, ()):
                path = os.path.join(directory, name)
                paths[path] = is_write and paths.get(path, True)
        return paths, lost

    def gather(self, now: float, *, any_relevant: bool) -> None:
        """Takes the next paths later: `any_relevant` if some of the last ones belong to logs."""
        self._gather = MIN_GATHER_SECONDS if any_relevant else min(2 * self._gather, MAX_GATHER_SECONDS)
        self.next_take = now + self._gather

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
