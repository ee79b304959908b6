"""A file of a log that is followed. It is open while it is read; afterwards only its size and times are checked."""

from __future__ import annotations

import os
from contextlib import suppress

from hookline.errors import HooklineError
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.files.rotated_files import InodeIdentity
from hookline.relay.sources.input_files import open_reader
from hookline.relay.sources.rotated_names import display_name
from hookline.relay.sources.rotation_search import find_rotated
from hookline.relay.sources.source import SourceLog

FileStatus = tuple[int, int]
"""Size in bytes, and time of change in nanoseconds."""


class TrackedFile:
    """A file of a log.

    Attributes:
        path: its last known path.
        identity: its device and inode.
        stamp: its size and time of change at the last check.
        closed_stamp: the stamp at which all of the file was read and it was closed.
        key: the key of its content when it was closed.
        attached: it still has a name that is followed.
        reader: its reader while it is open.
        first_modified: its time of change at the first check, in nanoseconds.
        at_end_since: since when all of it is read, on the monotonic clock.
        retry_at: when it is read again after an error, on the monotonic clock.
        logged_error: the error that was logged last.
        target: its resolved path when it was opened through a link, otherwise empty.
    """

    def __init__(self, path: str, identity: InodeIdentity, stamp: FileStatus) -> None:
        self.path = path
        self.identity = identity
        self.stamp = stamp
        self.closed_stamp: FileStatus | None = None
        self.key = b""
        self.attached = True
        self.reader: FileReader | None = None
        self.first_modified = stamp[1]
        self.at_end_since: float | None = None
        self.retry_at = 0.0
        self.logged_error: str | None = None
        self.target = ""

    @property
    def name(self) -> str:
        return display_name(self.path)

    def find_rotated(self, log: str, context: ReadContext) -> os.stat_result | None:
        """Updates the path of a file that lost its name. Returns its status if it was rotated from the path `log`."""
        self.path, status = find_rotated(log, self.identity, context, last_seen=self.path, target=self.target)
        return status

    def follow_rename(self, log: str, context: ReadContext) -> bool:
        """Updates the path and stamp of a closed file. Returns False if it was not rotated from the path `log`."""
        if (status := self.find_rotated(log, context)) is None:
            return False
        self.stamp = (status.st_size, status.st_mtime_ns)
        return True

    def open(self, context: ReadContext, root: str | None) -> bool:
        """Opens the file, with `root` as in open_reader. Returns False if it fails, or another file has its name."""
        try:
            reader = open_reader(self.path, context, root=root)
        except HooklineError as error:
            self.log_error(context.logger, "file cannot be opened, will try again", error)
            return False
        if not isinstance(reader, FileReader) or (reader.device, reader.inode) != self.identity:
            reader.close()  # the next check of the names finds the other file
            return False
        reader.expected_key = self.key
        self.target = reader.target
        self.reader = reader
        return True

    def forget_handle(self) -> None:
        """Closes a handle that the file server no longer knows. The file is found again by its content."""
        if self.reader is not None:
            with suppress(OSError):
                self.reader.close()
            self.reader = None
        self.closed_stamp, self.key = None, b""

    def close(self) -> None:
        """Closes the file after all of it was read. It is opened again when it has changed."""
        self.closed_stamp = self.stamp
        if self.reader is not None:
            self.key = self.reader.key
            self.reader.close()
            self.reader = None

    def warn_of_unfinished_line(self, logger: SourceLog) -> None:
        """Logs the incomplete last line of a file that is finished, if there is one."""
        if self.reader is not None and (unread := self.reader.unfinished_bytes):
            logger.warning("unfinished last line of a rotated file not read", source=self.name, bytes=unread)

    def log_error(self, logger: SourceLog, event: str, error: HooklineError) -> None:
        """Logs an error, unless it is the one that was logged last."""
        if self.logged_error != error.message:
            self.logged_error = error.message
            logger.warning(event, source=self.name, reason=error.message, hint=error.hint)
