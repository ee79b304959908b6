"""Searches the files to which a log was rotated and that an earlier run, or an earlier check, has not read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from hookline.relay.sources.files.file_inspector import FileInspector, ReadProgress, RotatedFile
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.files.rotated_files import InodeIdentity, find_names, find_unread_packings
from hookline.relay.sources.rotated_names import display_name, is_rotated, rotation_number, unpacked_name
from hookline.relay.sources.source import START_POSITION, Position

LOST_MESSAGE = "last read file not found: rotated files may be unread"
MAX_TRIES = 20  # attempts to list the files at one moment, while a rotation renames them
_TIMESTAMP_TOLERANCE_SECONDS = 2.0  # some file systems store coarse times of change


class UnreadFiles(msgspec.Struct, frozen=True):
    """The files to read before a log, the oldest first.

    A caller that opens one of them checks that its identity is still the same.

    Attributes:
        files: the unread rotated files.
        newest: the time of change of the newest known file, in nanoseconds, for the next search. None without one.
        log: the file that had the log's name during the search.
        lost: an earlier run read the log, and none of its files was found.
        packed: then the rotated files in a packing that is not read.
    """

    files: list[RotatedFile]
    newest: int | None
    log: InodeIdentity | None
    lost: bool
    packed: tuple[str, ...] = ()

    @property
    def warning(self) -> dict[str, object]:
        """The fields of the warning about a lost file."""
        if not self.packed:
            return {}
        return {"packed": ", ".join(self.packed), "hint": "unpack these files, and the relay reads them"}


def find_unread_files(
    path: str,
    context: ReadContext,
    tracked: Collection[InodeIdentity],
    *,
    after: int | None = None,
    wanted: Collection[InodeIdentity] = (),
) -> UnreadFiles:
    """Finds the rotated files of the log `path` that are read before it. A log that was never read has none.

    These are files whose checkpoint is unfinished, and files that are newer than the newest known one (if none
    remains, than the last checkpoint), because they were the log itself since then.

    Args:
        path: the name of the log.
        context: the checkpoints of all files, the directories and the rule for links.
        tracked: files that are open already, and are left out.
        after: the time of change of the newest known file, in nanoseconds, if the caller has it open.
        wanted: files that an earlier search found.
    """
    inspector = FileInspector(context)
    last = context.checkpoints.last(display_name(path))
    present = _list_at_one_moment(path, last.target, inspector, context)
    log = next((file for file in present if file.path == path), None)
    rotated = [file for file in _without_duplicates(present) if file.path != path and file.identity not in tracked]
    rotated.sort(key=lambda file: (file.modified, rotation_number(file.path)))
    newest, later, lost = after, frozenset[InodeIdentity](), False
    # A log with a checkpoint of its own was not rotated since, and the files before it were read before it.
    if newest is None and not (log is not None and log.has_same_inode):
        rotated = _resolve_newest_compressed(rotated, inspector)
        rotated, later = _order_after_clock_set_back(rotated, log)
        newest = max((file.modified for file in rotated if file.progress is not ReadProgress.UNKNOWN), default=None)
        if newest is None and last is not START_POSITION:
            newest = int((last.at - _TIMESTAMP_TOLERANCE_SECONDS) * 1e9)
            is_known = any(file.progress is not ReadProgress.UNKNOWN for file in present)
            lost = not is_known and not _is_empty_file_present(present, last)
    wanted = {*wanted, *later}
    files = [file for file in rotated if file.identity in wanted or _is_wanted(file, newest)]
    packed = tuple(find_unread_packings(path, last.target, context)) if lost else ()
    return UnreadFiles(files, newest, log.identity if log else None, lost, packed)


def _is_read(file: RotatedFile) -> bool:
    return file.progress in {ReadProgress.UNFINISHED, ReadProgress.FINISHED}


def _is_empty_file_present(present: list[RotatedFile], last: Position) -> bool:
    """Returns whether a file may exist that was empty at its last check: only its inode identifies it."""
    return last.offset == 0 and any(
        file.identity[1] == last.inode or unpacked_name(file.path) != file.path for file in present
    )


def _order_after_clock_set_back(
    rotated: list[RotatedFile], log: RotatedFile | None
) -> tuple[list[RotatedFile], frozenset[InodeIdentity]]:
    """Orders the files by name if a file that was read is newer than one that its name places after it: than the log,
    or than a rotated file. The clock was set back between them.

    Returns the files in order, and the identities of those after the last file that was read.
    """
    by_name = sorted(rotated, key=lambda file: rotation_number(file.path))
    oldest_after = log.modified if log is not None else None  # of the files that the name places after `file`
    was_set_back = False
    for file in reversed(by_name):
        was_set_back |= _is_read(file) and oldest_after is not None and file.modified > oldest_after
        oldest_after = file.modified if oldest_after is None else min(oldest_after, file.modified)
    if not was_set_back:
        return rotated, frozenset()
    newest = max(index for index, file in enumerate(by_name) if _is_read(file))
    return by_name, frozenset(file.identity for file in by_name[newest + 1 :])


def _list_at_one_moment(path: str, target: str, inspector: FileInspector, context: ReadContext) -> list[RotatedFile]:
    """Returns the log and its rotated files at one moment, and not during the renames of a rotation."""
    present: list[RotatedFile] = []
    for _ in range(MAX_TRIES):
        context.stop.check()
        before = find_names(path, target, context)
        present = [file for file in map(inspector.inspect, before) if file is not None]
        if before == find_names(path, target, context):
            break
    return present


def _without_duplicates(present: list[RotatedFile]) -> list[RotatedFile]:
    """Files with the same beginning may all match an early checkpoint. Assigns it to one of them: to one with all of
    its content, then to the file with its inode, otherwise to the newest.
    """
    present_last = sorted(
        present,
        key=lambda file: (not file.is_shortened, file.has_same_inode, file.modified, rotation_number(file.path)),
    )
    owners = {file.key: file for file in present_last}
    return [
        file
        if not file.key or owners[file.key] is file
        else msgspec.structs.replace(file, progress=ReadProgress.UNKNOWN)
        for file in present
    ]


def _resolve_newest_compressed(rotated: list[RotatedFile], inspector: FileInspector) -> list[RotatedFile]:
    """Decompresses compressed files, from the newest back, until one matches a checkpoint: logs with a long header
    all have the same beginning.
    """
    resolved = list(rotated)
    for index, file in reversed([*enumerate(rotated)]):
        if _is_read(file) or (file.progress is ReadProgress.COMPRESSED and inspector.matches_checkpoint(file.path)):
            break
        resolved[index] = msgspec.structs.replace(file, progress=ReadProgress.UNKNOWN)
    return resolved


def _is_wanted(file: RotatedFile, newest: int | None) -> bool:
    if _is_read(file):
        return file.progress is ReadProgress.UNFINISHED
    return newest is not None and file.modified >= newest


def find_rotated(
    path: str, identity: InodeIdentity, context: ReadContext, *, last_seen: str, target: str
) -> tuple[str, os.stat_result | None]:
    """Returns the name of a file among the rotated files of the log `path`, and its status (None without a name).

    `target` is the resolved path at which the file was opened if `path` is a link.
    """
    for name in _possible_names(path, identity, last_seen, target, context):
        with suppress(OSError):
            status = Path(name).stat()
            if (status.st_dev, status.st_ino) == identity:
                return name, status
    return last_seen, None


def _possible_names(
    path: str, identity: InodeIdentity, last_seen: str, target: str, context: ReadContext
) -> Iterator[str]:
    if is_rotated(Path(last_seen).name, Path(path).name):
        yield last_seen  # avoids a search of the directory
    yield from (name for name, present in find_names(path, target, context).items() if present == identity)
