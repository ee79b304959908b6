"""Removes a recipient from an embedded spool and from the copies in its directory, and overwrites their space."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hookline.errors import SpoolStalled
from hookline.relay.spool.admin import MAX_FORGOTTEN_IDS, ForgetCount, ForgetResult, OnSearched
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.sqlite.database import OpenSpool, map_damage
from hookline.relay.spool.sqlite.erasure.recipient_rows import FoundPage, count_page, found_pages, remove_page
from hookline.relay.spool.sqlite.erasure.spool_copies import count_in_copies, forget_in_copies
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess

# The pause between two pages lets a running relay lock the database.
PAGE_PAUSE_SECONDS: Final = 0.001
# A relay may route an event of the recipient while the spool is searched.
MAX_SEARCHES: Final = 5
_BEYOND: Final = ("snapshots of the disk, and blocks that its file system has given back",)
_CHECKPOINT_TRIES: Final = 5
_CHECKPOINT_PAUSE_SECONDS: Final = 0.2

_Change = Callable[[FoundPage], tuple[ForgetCount, list[bytes]]]


class SqliteRemoval(OpenSpool):
    """Implements admin.RecipientRemoval."""

    def __init__(self, directory: Path, access: StorageAccess = REAL_ACCESS) -> None:
        super().__init__(directory, access)
        self._directory = directory
        self._searched = 0
        # SQLite then fills the space of deleted rows with zeros.
        self._connection.execute("PRAGMA secure_delete = ON")

    def count(self, recipient: Recipient, *, on_searched: OnSearched | None = None) -> ForgetResult:
        self._searched = 0
        result = self._search(recipient, lambda page: (count_page(self._connection, page), []), on_searched)
        copies = count_in_copies(self._directory, recipient)
        return ForgetResult(count=result.count + copies.count, remains=copies.remains)

    def forget(self, recipient: Recipient, *, now: float, on_searched: OnSearched | None = None) -> ForgetResult:
        self._searched = 0
        total, ids = ForgetCount(), frozenset[bytes]()
        for _ in range(MAX_SEARCHES):
            found = self._search(recipient, lambda page: remove_page(self._connection, page, now), on_searched)
            total, ids = total + found.count, ids | found.pending_ids
            if not found.count.total:
                break
        copies = forget_in_copies(self._directory, recipient, now=now)
        return ForgetResult(count=total + copies.count, pending_ids=ids, remains=copies.remains)

    def _search(self, recipient: Recipient, change: _Change, on_searched: OnSearched | None) -> ForgetResult:
        total, ids = ForgetCount(), set[bytes]()
        with map_damage(self._path):
            for page in found_pages(self._connection, recipient):
                count, pending = change(page)
                total += count
                ids.update(pending[: MAX_FORGOTTEN_IDS - len(ids)])
                self._searched += page.searched
                if on_searched is not None:
                    on_searched(self._searched)
                self._access.sleep(PAGE_PAUSE_SECONDS)
        return ForgetResult(count=total, pending_ids=frozenset(ids))

    def overwrite(self) -> tuple[str, ...]:
        """Write the database again, without free pages and the rests of rows, and empty the write-ahead log.

        Deleted rows leave copies in pages that SQLite has rearranged, so zeros in their place are not enough. A relay
        that runs waits for the lock: it sends, but stores nothing until the end.
        """
        with map_damage(self._path):
            self._connection.execute("VACUUM")
            for _ in range(_CHECKPOINT_TRIES):
                if empty_log(self._connection):
                    return _BEYOND
                self._access.sleep(_CHECKPOINT_PAUSE_SECONDS)
        raise SpoolStalled(
            f"the write-ahead log {self._path}-wal cannot be emptied, because another process reads the spool",
            hint="run the command again",
        )


def empty_log(connection: sqlite3.Connection) -> bool:
    """Move the write-ahead log into the database and truncate it. False: another process reads it."""
    busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy
