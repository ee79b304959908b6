"""The names of a run with --follow, and the logs and pipes that they denote: some exist later, some list others."""

from __future__ import annotations

import os
import stat

from hookline.errors import HooklineError
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.files.rotated_files import InodeIdentity
from hookline.relay.sources.input_files import (
    STANDARD_INPUT,
    is_pattern_or_directory,
    list_files,
    listed_directory,
    listing_root,
    open_reader,
)
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_log import RotatedLog
from hookline.relay.sources.rotated_names import base_of, display_name
from hookline.relay.sources.tracked_file import TrackedFile

PIPE_FAILED = "pipe cannot be opened, will try again"


class FollowedNames:
    """Decides what each name is, and assigns listed files to logs.

    Attributes:
        logs: the logs by path.
        pipes: the open pipes.
    """

    def __init__(self, names: list[str], context: ReadContext, *, max_open: int) -> None:
        self.logs: dict[str, RotatedLog] = {}
        self.pipes: list[PipeReader] = []
        self._unresolved = list(dict.fromkeys(names))  # names that do not exist yet, of any kind
        self._patterns: list[str] = []  # patterns and directories
        self._listings: dict[str, list[str]] = {}
        self._failed_listings: set[str] = set()
        self._failures: dict[tuple[str, str], str] = {}
        self._found: list[list[str]] | None = None
        self._emptying: list[RotatedLog] = []  # logs that no pattern or directory contains any more
        self._tracked: dict[InodeIdentity, TrackedFile] = {}
        self._max_open = max_open
        self._context = context
        self._logger = context.logger

    @property
    def has_ended(self) -> bool:
        """Whether all names were pipes that cannot be reopened, and all have ended."""
        return not (self.pipes or self.logs or self._patterns or self._unresolved)

    @property
    def has_patterns(self) -> bool:
        return bool(self._patterns)

    @property
    def listed_directories(self) -> list[str]:
        """The directories that are listed: the names, and those before the first sign of a pattern."""
        return [listed_directory(name) for name in self._patterns]

    def resolve(self) -> None:
        """Decides the kind of each name that did not exist before. Raises HooklineError for standard input."""
        for name in list(self._unresolved):
            try:
                self._resolve(name)
            except HooklineError as error:
                if name == STANDARD_INPUT:
                    raise
                self.report_failure(name, PIPE_FAILED, error.message)

    def _resolve(self, name: str) -> None:
        """Decides the kind of a name: standard input, a directory or pattern, a pipe, or a log."""
        if name == STANDARD_INPUT or _is_stream(name):
            reader = open_reader(name, self._context, follow=True)
            self._unresolved.remove(name)
            self.logs.pop(name, None)
            if isinstance(reader, FileReader):  # standard input, redirected from a file
                self.logs[name] = self._new_log(name, root=None)
                self.logs[name].adopt(reader)
            else:
                self.pipes.append(reader)
        elif is_pattern_or_directory(name):
            self._unresolved.remove(name)
            self.logs.pop(name, None)
            self._patterns.append(name)
            if not self._listed(name) and name not in self._failed_listings:
                self._logger.warning("no file exists yet, waiting for one", source=display_name(name))
        else:
            log = self.logs.setdefault(name, self._new_log(name, root=None))
            if log.files:
                self._unresolved.remove(name)

    def _new_log(self, path: str, *, root: str | None) -> RotatedLog:
        return RotatedLog(path, self._tracked, self._context, root=root, max_open=self._max_open)

    def scan(self) -> list[RotatedLog]:
        """Assigns the files of directories and patterns to their logs.

        Returns the logs that have other files than before.
        """
        listed = [self._listed(name) for name in self._patterns]
        if listed == self._found:
            return []
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
            is_rotated = packed or "." in base or log_path in found or log_path in self.logs
            key = log_path if is_rotated else path
            members.setdefault(key, []).append(path)
            listed_by.setdefault(key, index)
        roots = [listing_root(name) for name in self._patterns]
        for key in members:
            if key not in self.logs:
                self.logs[key] = self._new_log(key, root=roots[listed_by[key]])
        changed = [log for key, log in self.logs.items() if log.set_members(members.get(key, ()))]
        self._emptying = [log for key, log in self.logs.items() if key not in members]
        return changed

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

    def drop_empty_logs(self) -> None:
        """Logs become empty when a scan finds their files gone, and when their last file is finished."""
        for key in [log.path for log in self._emptying if log.is_empty and log.path in self.logs]:
            del self.logs[key]
        self._emptying = [log for log in self._emptying if log.path in self.logs]

    def report_failure(self, name: str, event: str, reason: str) -> None:
        """Logs a failure, unless it is the one that was logged last."""
        if self._failures.get((name, event)) != reason:
            self._failures[name, event] = reason
            self._logger.warning(event, source=display_name(name), reason=reason)

    def clear_failure(self, name: str, event: str) -> None:
        """A failure that occurs again is logged again."""
        if self._failures:
            self._failures.pop((name, event), None)

    def drop_pipe(self, pipe: PipeReader) -> None:
        self.pipes.remove(pipe)
        pipe.close()

    def close(self) -> None:
        for log in self.logs.values():
            log.close()
        for pipe in self.pipes:
            pipe.close()


def _is_stream(name: str) -> bool:
    """Returns whether the name is a pipe, a socket or a terminal."""
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
