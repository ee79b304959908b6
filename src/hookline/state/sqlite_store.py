"""The state in one SQLite file.

A rollback journal, not WAL: a planner who may only read the directory can then open the file, and leaves nothing
beside it. The file comes into being whole, so nobody ever meets one that is half made.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from hookline.errors import HooklineError, Stale, StateUnusable
from hookline.model import Address
from hookline.private_files import create_private_file, state_file_exists
from hookline.state.history_chain import beginning, seal
from hookline.state.rows import history_row, json_text, read_history, read_webhooks
from hookline.state.sqlite_schema import (
    EARLIER_STATE_APPLICATION_ID,
    STATE_APPLICATION_ID,
    STATE_FORMAT,
    STATE_TABLES,
    can_migrate,
    keep_copy,
    migrate,
    migrated_in_memory,
)
from hookline.state.store import EMPTY, Entry, Record, Snapshot
from hookline.state.store_errors import (
    changed_meanwhile,
    damaged,
    earlier_build,
    foreign,
    from_sqlite,
    newer,
    refuse_stale,
)

# How long a reader waits for a writer's commit, and a writer for readers: both hold the file for milliseconds.
PATIENCE = timedelta(seconds=5)

SqliteWrite = Mapping[Address, Mapping[str, Any] | None]

_log = logging.getLogger(__name__)


class SqliteStore:
    """A StateStore. `lock_timeout` is how long `commit` waits while another apply holds the database.

    `new_lineage` is asked once, by the commit that makes the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        new_lineage: Callable[[], str],
        lock_timeout: timedelta = timedelta(0),
        patience: timedelta = PATIENCE,
    ) -> None:
        self._path = path
        self._new_lineage = new_lineage
        self._lock_timeout = lock_timeout
        self._patience = patience

    def read(self) -> Snapshot:
        if not state_file_exists(self._path):
            return EMPTY
        with self._reading("webhooks") as (connection, lineage, serial):
            rows = connection.execute("SELECT organization, sandbox, document FROM webhooks ORDER BY 1, 2")
            return Snapshot(lineage=lineage, serial=serial, webhooks=read_webhooks(rows))

    def version(self) -> tuple[str | None, int]:
        if not state_file_exists(self._path):
            return EMPTY.lineage, EMPTY.serial
        with self._translated(), closing(self._open_to_read()) as connection:
            lineage, serial, _ = self._meta(connection)
            return lineage, serial

    def history(self) -> tuple[Record, ...]:
        if not state_file_exists(self._path):
            return ()
        with self._reading("history") as (connection, _, _):
            return read_history(connection.execute("SELECT * FROM history ORDER BY serial"))

    def commit(self, base: Snapshot, written: SqliteWrite, entry: Entry) -> Snapshot:
        if not state_file_exists(self._path):
            return self._make(base, written, entry)
        copy = None
        with self._translated(), closing(self._open("rw", self._lock_timeout)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            lineage, serial, written_in = self._meta(connection)
            if (base.lineage, base.serial) != (lineage, serial):
                refuse_stale(self._path, base, lineage, serial, self._last_apply())
            if written_in < STATE_FORMAT:
                copy = keep_copy(connection, self._path, written_in)
                migrate(connection, written_in)
            snapshot = base.after(lineage, written)
            _write(connection, snapshot, written, entry)
            # The lock is ours by now: what is left to wait for are readers, and they are quick.
            connection.execute(f"PRAGMA busy_timeout = {int(self._patience / timedelta(milliseconds=1))}")
            connection.execute("COMMIT")
        if copy is not None:
            _log.warning(
                "The state %s was migrated to format %d. A copy of the old one is %s.", self._path, STATE_FORMAT, copy
            )
        return snapshot

    def _make(self, base: Snapshot, written: SqliteWrite, entry: Entry) -> Snapshot:
        if base.lineage is not None:
            raise Stale(
                f"the state {self._path} has vanished since it was read (at serial {base.serial})",
                hint="nothing was changed; find out who moved it, and plan again once it is back",
            )
        snapshot = base.after(self._new_lineage(), written)
        try:
            create_private_file(self._path, _first_image(snapshot, written, entry))
        except FileExistsError as lost:
            raise changed_meanwhile(f"the state {self._path} has just been made", self._last_apply()) from lost
        except OSError as failed:
            raise StateUnusable(
                f"the state {self._path} cannot be made: {failed.strerror}",
                hint="check that its directory may be written to, or name another place with --state",
            ) from failed
        return snapshot

    @contextmanager
    def _reading(self, table: Literal["webhooks", "history"]) -> Iterator[tuple[sqlite3.Connection, str, int]]:
        """Connection, lineage and serial of one moment, in the current format, with `table` checked for damage."""
        with self._translated(), closing(self._open_to_read()) as connection:
            connection.execute("BEGIN")
            lineage, serial, written_in = self._meta(connection)
            self._check(connection, table)
            if written_in == STATE_FORMAT:
                yield connection, lineage, serial
            else:
                with closing(migrated_in_memory(connection, written_in)) as migrated:
                    yield migrated, lineage, serial

    def _open_to_read(self) -> sqlite3.Connection:
        try:
            return self._open("ro", self._patience)
        except sqlite3.OperationalError as error:
            if _result(error) != "SQLITE_READONLY_ROLLBACK":
                raise
        # An apply was killed in the middle of its commit. SQLite lets the next one who may write the file put the
        # old state back (https://www.sqlite.org/lockingv3.html#hot_journals), so that is done first.
        try:
            self._open("rw", self._patience).close()
        except sqlite3.OperationalError as error:
            raise from_sqlite(self._path, "SQLITE_READONLY_ROLLBACK", "") from error
        return self._open("ro", self._patience)

    def _open(self, mode: Literal["ro", "rw"], wait: timedelta) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=wait.total_seconds(),
        )
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            # Reads the first page: a foreign file or an interrupted commit comes to light here, not later.
            self._check_owner(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found == EARLIER_STATE_APPLICATION_ID:
            raise earlier_build(self._path)
        if found != STATE_APPLICATION_ID:
            raise foreign(self._path)

    def _meta(self, connection: sqlite3.Connection) -> tuple[str, int, int]:
        """Lineage, serial and format."""
        row = connection.execute("SELECT format FROM meta").fetchone()
        if row is None:
            raise damaged(self._path, "it does not say in which format it is")
        if row[0] > STATE_FORMAT:
            raise newer(self._path, row[0], STATE_FORMAT)
        if not can_migrate(row[0]):
            raise earlier_build(self._path)
        lineage, serial = connection.execute("SELECT lineage, serial FROM meta").fetchone()
        return lineage, serial, row[0]

    def _check(self, connection: sqlite3.Connection, table: Literal["webhooks", "history"]) -> None:
        (verdict,) = connection.execute(f"PRAGMA quick_check('{table}')").fetchone()
        if verdict != "ok":
            raise damaged(self._path, verdict)

    def _last_apply(self) -> Entry | None:
        """To say who came first; where that cannot be read, a message does without."""
        try:
            records = self.history()
        except HooklineError:
            return None
        return records[-1].entry if records else None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise from_sqlite(self._path, _result(error), str(error)) from error
        except ValueError as error:
            raise damaged(self._path, str(error)) from error


def _result(error: sqlite3.Error) -> str:
    # Errors of the binding itself (text that is not UTF-8) carry no result code.
    return getattr(error, "sqlite_errorname", "")


def _write(connection: sqlite3.Connection, snapshot: Snapshot, written: SqliteWrite, entry: Entry) -> None:
    for address, document in sorted(written.items()):
        key = (address.organization, address.sandbox)
        if document is None:
            connection.execute("DELETE FROM webhooks WHERE organization = ? AND sandbox = ?", key)
        else:
            row = (*key, json_text(document), snapshot.serial)
            connection.execute("INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?, ?)", row)
    connection.execute("UPDATE meta SET serial = ?", (snapshot.serial,))
    last = connection.execute("SELECT hash FROM history ORDER BY serial DESC LIMIT 1").fetchone()
    previous = last[0] if last else beginning(str(snapshot.lineage))
    record = Record(snapshot.serial, entry, seal(previous, snapshot.serial, entry))
    connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", history_row(record))


def _first_image(snapshot: Snapshot, written: SqliteWrite, entry: Entry) -> bytes:
    """The bytes of a database after its first apply."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {STATE_APPLICATION_ID}")
        connection.executescript(STATE_TABLES)
        connection.execute("INSERT INTO meta VALUES (1, ?, ?, ?)", (STATE_FORMAT, snapshot.lineage, snapshot.serial))
        _write(connection, snapshot, written, entry)
        return connection.serialize()
