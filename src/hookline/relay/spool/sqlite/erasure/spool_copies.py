"""The other files in a spool's directory that may contain a recipient: copies of the spool, and text files.

hookline writes copies itself: before a migration, and with `spool recover` or `spool copy` if the new directory is
inside. People leave exports there. A file that is neither a spool nor text is only named.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.paths import is_link, is_regular_file, path_exists
from hookline.private_files import sync_directory
from hookline.relay.spool.admin import ForgetCount, ForgetResult
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.sqlite.database import BUSY_SECONDS, DATABASE_FILE
from hookline.relay.spool.sqlite.disk_reserve import RESERVE_FILE
from hookline.relay.spool.sqlite.erasure.recipient_rows import count_page, found_pages, remove_page
from hookline.relay.spool.sqlite.lock import LOCK_FILE
from hookline.relay.spool.sqlite.permissions import map_os_errors

_SQLITE_HEADER: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 4096
_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")
_BLOCK_BYTES: Final = 1 << 20
_DRAFT: Final = ".forget"
_LOG_ENDINGS: Final = ("-wal", "-shm", "-journal")
_LIVE: Final = frozenset({DATABASE_FILE, LOCK_FILE, RESERVE_FILE, *(DATABASE_FILE + end for end in _LOG_ENDINGS)})


def count_in_copies(directory: Path, recipient: Recipient) -> ForgetResult:
    """What `forget` would remove from the copies now."""
    return _each(directory, recipient, None)


def forget_in_copies(directory: Path, recipient: Recipient, *, now: float) -> ForgetResult:
    """Remove the recipient from the copies, and overwrite them."""
    return _each(directory, recipient, now)


def _each(directory: Path, recipient: Recipient, now: float | None) -> ForgetResult:
    """`now` is None if nothing is to be changed."""
    total, remains = 0, list[str]()
    with map_os_errors(directory):
        for path in _files(directory):
            with suppress(FileNotFoundError):  # a relay replaces and removes its status file
                if now is not None and path.name.startswith(".") and path.name.endswith(_DRAFT):
                    path.unlink()  # the rest of an interrupted run
                    continue
                removed, left = _in_file(path, recipient, now)
                total += removed
                remains += left
    return ForgetResult(count=ForgetCount(copies=total), remains=tuple(remains))


def _in_file(path: Path, recipient: Recipient, now: float | None) -> tuple[int, list[str]]:
    """The number of parts with the recipient, and what cannot be searched."""
    with path.open("rb") as opened:
        head = opened.read(_HEADER_BYTES)
    if head.startswith(_SQLITE_HEADER):
        try:
            return _in_database(path, recipient, now), []
        except (sqlite3.DatabaseError, SpoolUnusable):
            return 0, [f"{path}: a database that is no spool of this version"]
    if head.startswith(_PACKED) or b"\0" in head:
        return 0, [f"{path}: not a text, so it cannot be searched"]
    return _in_text(path, recipient, change=now is not None), []


def _files(directory: Path) -> Iterator[Path]:
    """The files below a spool's directory, without the live ones of the spool. Links are not followed."""
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            is_live = Path(folder) == directory and name in _LIVE
            if not is_live and not is_link(path) and is_regular_file(path) and not _is_log(path):
                yield path


def _is_log(path: Path) -> bool:
    """Whether the file belongs to a database beside it, which includes it."""
    return any(
        path.name.endswith(end) and path_exists(path.with_name(path.name.removesuffix(end))) for end in _LOG_ENDINGS
    ) or path.name in (LOCK_FILE, RESERVE_FILE)


def _in_database(path: Path, recipient: Recipient, now: float | None) -> int:
    """The number of rows with the recipient in a copy of a spool, which are removed unless `now` is None."""
    mode = "ro" if now is None else "rw"
    with closing(
        sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS
        )
    ) as connection:
        if now is None:
            return sum(count_page(connection, page).total for page in found_pages(connection, recipient))
        connection.execute("PRAGMA secure_delete = ON")
        removed = sum(remove_page(connection, page, now)[0].total for page in found_pages(connection, recipient))
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return removed


def _in_text(path: Path, recipient: Recipient, *, change: bool) -> int:
    """The number of lines with the recipient. To remove them, the file is replaced and the old one overwritten."""
    with path.open("rb") as lines:
        found = sum(recipient.is_in(line) for line in lines)
    if not found or not change:
        return found
    draft = path.with_name(f".{path.name}{_DRAFT}")
    with path.open("r+b") as old, open(draft, "wb", opener=_private) as kept:
        kept.writelines(line for line in old if not recipient.is_in(line))
        kept.flush()
        os.fsync(kept.fileno())
        draft.rename(path)
        sync_directory(path.parent)
        old.seek(0)
        left = os.fstat(old.fileno()).st_size
        while left > 0:
            left -= old.write(bytes(min(left, _BLOCK_BYTES)))
        old.flush()
        os.fsync(old.fileno())
    return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
