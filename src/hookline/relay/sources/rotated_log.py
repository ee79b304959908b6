"""A log that is followed: the file with its name, and the files to which it was rotated."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from contextlib import suppress
from itertools import takewhile

from hookline.errors import HooklineError
from hookline.relay.sources.file_content import ReadStatus, StaleHandle
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.last_check import LastCheck
from hookline.relay.sources.files.name_inspection import NameInspection
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.files.rotated_files import InodeIdentity
from hookline.relay.sources.input_files import STANDARD_INPUT
from hookline.relay.sources.rotated_names import display_name, rotation_number
from hookline.relay.sources.rotation_search import LOST_MESSAGE, MAX_TRIES, find_unread_files
from hookline.relay.sources.source import START_POSITION, Batch, SourceLag
from hookline.relay.sources.tracked_file import TrackedFile

# For this time after its last line a rotated file is still checked, because writers may switch to the new file late.
ROTATED_LINGER_SECONDS = 60.0
RETRY_SECONDS = 1.0  # until the next attempt to read a file after an error


class RotatedLog:
    """Reads the files of one log, each to its end before the next.

    Args:
        path: the name of the log.
        tracked: the files of all logs by their identity, so that no file is read twice.
        context: the values that all readers share.
        root: the resolved directory that contains the log if it was found by listing, otherwise None.
        max_open: with more tracked files than this, files are closed when all of their content was read.

    Attributes:
        root: see above.
        last_check: its file at the last check, if it has one file.
        is_settled: all of the log was read, and it has not changed at the last check.
        files: the files of the log, the oldest first.
        reported_at: when the system reported its latest change, on the monotonic clock. Set by the caller.
    """

    def __init__(
        self,
        path: str,
        tracked: dict[InodeIdentity, TrackedFile],
        context: ReadContext,
        *,
        root: str | None,
        max_open: int,
    ) -> None:
        self.path = path
        self.root = root
        self.files: list[TrackedFile] = []
        self._tracked, self._context, self._logger = tracked, context, context.logger
        self._members: Collection[str] = ()
        self.is_settled = False
        self.reported_at = -math.inf
        self.last_check = LastCheck()
        self._named, self._max_open = root is None, max_open
        self._inspection = NameInspection(context.logger)
        self._next_search = 0.0
        self._latest: int | None = None

    def check_names(self, now: float) -> None:
        """Checks which files have the names now. Removes files that are finished."""
        self.is_settled = False
        self.last_check.forget()
        if self.path == STANDARD_INPUT:
            return
        paths = dict.fromkeys((*self._members, self.path) if self._named else self._members)
        awaited = self.path if self._named and not self.files else None
        inspect = self._inspection.status_of
        present = [(path, status) for path in paths if (status := inspect(path, is_awaited=path == awaited))]
        present.sort(key=lambda one: (one[0] == self.path, one[1].st_mtime_ns, rotation_number(one[0])))
        identities = {(status.st_dev, status.st_ino) for _, status in present}
        for file in self.files:
            if file.attached and file.identity not in identities and file.at_end_since is not None:
                file.at_end_since = now  # its writers get some time to switch, from now on
            file.attached = file.identity in identities
        self._find_closed()
        for path, status in present:
            self._check_name(path, status)
        is_missing = not self.files[-1].attached if self.files else self._named
        if is_missing and now >= self._next_search:
            # The log was renamed, perhaps while no relay ran, and a new one does not exist or existed only briefly.
            self._next_search = now + RETRY_SECONDS
            self._add_rotated_files(self._newest())
        for file in [one for one in self.files if self._is_finished(one, now)]:
            file.warn_of_unfinished_line(self._logger)
            self._remove(file)
        only = self.files[0] if len(self.files) == 1 else None
        if only is not None and only.attached and paths == {self.path: None} and only.path == self.path:
            self.last_check.keep(only.identity, only.stamp)

    def _find_closed(self) -> None:
        """Finds closed files that were renamed, by their new names, or the rotated files that were made of them."""
        closed = [one for one in self.files if one.reader is None and not one.attached]
        if gone := [file for file in closed if not file.follow_rename(self.path, self._context)]:
            after = self._newest()
            for file in gone:
                self._remove(file)
            self._add_rotated_files(after)

    @property
    def _has_too_many_open(self) -> bool:
        return len(self._tracked) > self._max_open

    @property
    def paths(self) -> list[str]:
        """Its path, and those of files that were opened through a link. Standard input has none."""
        return (
            [] if self.path == STANDARD_INPUT else [self.path, *(file.target for file in self.files if file.target)]
        )

    @property
    def is_one_open_file(self) -> bool:
        """Whether a write to the log needs no check of the names before it is read."""
        return len(self.files) == 1 and self.files[0].attached and self.files[0].reader is not None

    @property
    def is_empty(self) -> bool:
        """Whether a log from a pattern or directory has no files."""
        return not self._named and not self._members and not self.files

    def set_members(self, members: Collection[str]) -> bool:
        """Sets the paths of the log and its rotated files that a pattern or directory contains.

        Returns whether they are others than before.
        """
        if members == self._members:
            return False
        self._members = members
        self.last_check.forget()
        return True

    def adopt(self, reader: FileReader) -> None:
        """Adds standard input, which is open and has no name to check."""
        file = TrackedFile(self.path, (reader.device, reader.inode), (0, 0))
        file.reader = reader
        self.files.append(file)
        self._tracked.setdefault(file.identity, file)

    def _check_name(self, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        file = self._tracked.get(identity)
        if file is None:
            if path == self.path:
                self._add_rotated_files(self._newest())
            if identity in self._tracked:
                return  # it was renamed during the search, and is one of the rotated files
            file = self._add(path, status)
            # Opened at once, because it may be renamed again. The next check then finds it among the rotated files.
            is_open = self._has_too_many_open or file.open(self._context, self._root_of(path))
            if not is_open and file.logged_error is None:
                self._remove(file)
                return
        if file.reader is not None:
            file.reader.check_beginning()
        file.path = path
        file.stamp = (status.st_size, status.st_mtime_ns)

    def _add(self, path: str, status: os.stat_result) -> TrackedFile:
        file = TrackedFile(path, (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns))
        # The log itself remains the last file.
        has_log = bool(self.files) and self.files[-1].attached and self.files[-1].path == self.path
        self.files.insert(len(self.files) - has_log, file)
        self._tracked[file.identity] = file
        return file

    def _newest(self) -> int | None:
        """Returns the latest time of change of the files that this log has had, in nanoseconds."""
        self._latest = max((file.stamp[1] for file in self.files), default=self._latest)
        return self._latest

    def _add_rotated_files(self, after: int | None) -> bool:
        """Adds the files to which the log was rotated after `after`. Returns whether there are any."""
        any_added = False
        wanted: set[InodeIdentity] = set()
        for _ in range(MAX_TRIES):
            unread = find_unread_files(self.path, self._context, self._tracked, after=after, wanted=wanted)
            if unread.lost:
                self._inspection.report_lost(self.path, LOST_MESSAGE, **unread.warning)
            after = unread.newest
            wanted.update(one.identity for one in unread.files)
            # If a file is renamed before it is opened, it and those after it are searched again, to keep their order.
            added = [*takewhile(bool, (self._add_rotated_file(one.path, one.identity) for one in unread.files))]
            any_added |= bool(added)
            if len(added) == len(unread.files):
                break
        return any_added

    def _add_rotated_file(self, path: str, identity: InodeIdentity) -> bool:
        with suppress(OSError):
            status = os.stat(path)
            if (status.st_dev, status.st_ino) == identity:
                file = self._add(path, status)
                file.attached = False
                if file.open(self._context, self._root_of(path)):
                    self._logger.info("rotated file is read first", source=display_name(path))
                    return True
                self._remove(file)
        return False

    def read(self, now: float) -> tuple[Batch, bool]:
        """Returns the next lines of the oldest file that has any, and whether more may be available."""
        for index, file in enumerate(list(self.files)):
            if file.retry_at > now or file.closed_stamp == file.stamp:
                continue
            if file.reader is None and not file.open(self._context, self._root_of(file.path)):
                file.retry_at = now + RETRY_SECONDS
                continue
            if (buffered := self._take_buffered_later(index)) is not None:
                return buffered
            try:
                found = self._read(file, now)
            except HooklineError as error:
                file.log_error(self._logger, "file cannot be read, will try again", error)
                file.retry_at = now + RETRY_SECONDS
                if isinstance(error, StaleHandle):
                    file.forget_handle()
                continue
            if found is not None:
                return found
            may_close = self._has_too_many_open and self.path != STANDARD_INPUT
            if may_close and (file.attached or file.find_rotated(self.path, self._context)):
                file.close()
        self._settle()
        return Batch(self.path, [], START_POSITION, False), False

    def _root_of(self, path: str) -> str | None:
        """Returns the directory out of which a link may not lead, or None if the operator named the path."""
        if self._named and path == self.path:
            return None
        return self.root if path in self._members else os.path.realpath(os.path.dirname(path) or ".")

    def _settle(self) -> None:
        """Notes that all of a log was read, so that it is not read again before it changes."""
        if self.last_check.is_known:
            file = self.files[0]
            is_read = file.closed_stamp == file.stamp or (file.reader is not None and file.at_end_since is not None)
            self.is_settled = is_read and file.logged_error is None

    def _take_buffered_later(self, index: int) -> tuple[Batch, bool] | None:
        """Returns buffered lines of a later file, before an unread file that may be a copy of it is read."""
        unread = self.files[index].reader
        for file in self.files[index + 1 :] if unread is not None and not unread.has_begun else ():
            if (reader := file.reader) is not None and reader.has_buffered_lines:
                return Batch(reader.name, reader.take_buffered(), reader.take_position(), False), True
        return None

    def _read(self, file: TrackedFile, now: float) -> tuple[Batch, bool] | None:
        reader = file.reader
        assert reader is not None
        lines, status = reader.read(final=not file.attached)
        file.logged_error = None
        if status is ReadStatus.REPLACED:
            return self._restart(file, reader), True
        position = reader.take_position()
        if status is ReadStatus.WAITING:
            return Batch(reader.name, lines, position, False), bool(lines)
        if status is ReadStatus.MORE:
            file.at_end_since = None
        elif lines or file.at_end_since is None:
            file.at_end_since = now
        if status is ReadStatus.AT_END and reader.at_definite_end:
            file.close()
        if lines or position is not START_POSITION or status is ReadStatus.MORE:
            is_all = status is ReadStatus.AT_END and len(self.files) == 1 and not self._has_too_many_open
            if is_all:
                self._settle()
            return Batch(reader.name, lines, position, False), not is_all
        return None

    def _restart(self, file: TrackedFile, reader: FileReader) -> Batch:
        """Continues after the file was truncated or rewritten. A copy of its old content is read first."""
        reader.take_position()
        has_copy = self._add_copy(file, reader)
        lines = [] if has_copy else reader.take_last_lines()
        if not has_copy and (lost := reader.lost_bytes + reader.unfinished_bytes):
            self._logger.warning("file was truncated before all of it was read", source=file.name, bytes=lost)
        position = reader.take_position()
        self._logger.info("file was truncated or rewritten, reading its current content", source=file.name)
        reader.restart()
        return Batch(reader.name, lines, position, False)

    def _add_copy(self, file: TrackedFile, reader: FileReader) -> bool:
        """Adds a copy of the file's old content, to be read first. Returns whether there is one."""
        if self.path == STANDARD_INPUT:
            return False
        others = [one for one in self.files if one is not file]
        newest = max((one.stamp[1] for one in others), default=file.first_modified)
        after = None if reader.key else newest  # if nothing was read of it, only its time identifies a copy
        is_there = any(one.reader is not None and one.reader.origin_key == reader.key != b"" for one in others)
        return self._add_rotated_files(after) or is_there

    def close(self) -> None:
        for file in list(self.files):
            self._remove(file)

    def _is_finished(self, file: TrackedFile, now: float) -> bool:
        """Returns whether a file that lost its name is finished."""
        lingered = file.at_end_since is not None and now - file.at_end_since >= ROTATED_LINGER_SECONDS
        if file.attached or not lingered or file is self.files[-1]:
            return False
        if file.reader is None:
            return file.closed_stamp == file.stamp
        # The writers of the newest one may switch at any later time.
        return file is not self.files[-2] or not file.reader.has_name or self._has_too_many_open

    def _remove(self, file: TrackedFile) -> None:
        self.files.remove(file)
        if self._tracked.get(file.identity) is file:
            del self._tracked[file.identity]
        if file.reader is not None:
            file.reader.close()

    def lags(self) -> list[SourceLag]:
        return [reader.lag() for file in tuple(self.files) if (reader := file.reader) is not None]
