"""The logs of which the system reports a change, found by the directories of their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.rotated_log import RotatedLog
from hookline.relay.sources.rotated_names import base_of
from hookline.relay.sources.watching.watched_directories import WatchedDirectories


class ChangedLogs:
    """Watches the directories of the logs that were added."""

    def __init__(self, context: ReadContext) -> None:
        self._directories = WatchedDirectories(context.timing, context.logger)
        self._paths: dict[str, str] = {}  # the path of the log, by the paths that events can have

    @property
    def descriptors(self) -> list[int]:
        """Descriptors that are readable when `take` has something to return."""
        return self._directories.descriptors

    @property
    def next_take(self) -> float:
        """When `take` returns the next changes, on the monotonic clock."""
        return self._directories.next_take

    def add(self, log: RotatedLog) -> None:
        """Watches the directory of a log, and those where its links end. Cheap if it was added before."""
        for path in log.paths:
            if self._paths.get(path) != log.path:
                self._paths[os.path.join(*os.path.split(path))] = self._paths[path] = log.path
                self._directories.add([path])

    def add_directories(self, directories: Iterable[str]) -> None:
        """Watches directories in which new files may appear."""
        self._directories.add(os.path.join(directory, "") for directory in directories)

    def renew(self) -> None:
        """Watches again what has another directory now."""
        self._directories.renew()

    def take(self, now: float, logs: Mapping[str, RotatedLog]) -> tuple[dict[RotatedLog, bool], bool, bool]:
        """Returns the logs that have changed, each with whether its only file was only written; whether files changed
        that belong to no log; and whether the report of a change may be missing.
        """
        paths, any_lost = self._directories.take(now)
        found: dict[RotatedLog, bool] = {}
        others_changed = False
        for path, is_write in paths.items():
            log = logs.get(self._paths.get(path, path)) or logs.get(self._log_path(path))
            if log is not None:
                found[log] = is_write and log.is_one_open_file and found.get(log, True)
            else:
                self._paths.pop(path, None)
                others_changed = True
        if paths:
            self._directories.gather(now, any_relevant=bool(found))
        return found, others_changed, any_lost

    def _log_path(self, path: str) -> str:
        """Returns the path that a log had before its rotation."""
        directory, name = os.path.split(path)
        rotated_from = os.path.join(directory, base_of(name)[0]) if name else path
        return self._paths.get(rotated_from, rotated_from)

    def close(self) -> None:
        self._directories.close()
