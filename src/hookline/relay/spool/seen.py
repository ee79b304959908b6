"""The delivery ids that a dry run has come across: any number of them, in a bounded amount of memory."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from hookline.errors import HooklineError

_CACHE_KIB: Final = 4096


class SeenIds(AbstractContextManager["SeenIds"]):
    """In a database of its own, which SQLite makes and removes: a file once there are more than fit into its cache.

    It lies in the system's directory for temporary files (https://www.sqlite.org/tempfiles.html).
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        for pragma in ("temp_store = FILE", f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")  # it never ends: nothing of this is to be kept
        self._connection.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, identity: bytes) -> bool:
        """Whether it is new. Raises HooklineError when there is no room for it."""
        try:
            return self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (identity,)).rowcount > 0
        except sqlite3.DatabaseError as failed:
            raise HooklineError(
                f"a dry run cannot keep the ids that it has come across: {failed}",
                hint="make room in /var/tmp, or name another directory with SQLITE_TMPDIR",
            ) from failed
