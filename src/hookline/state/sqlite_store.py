"""The state in one SQLite file.

The file uses a rollback journal instead of WAL. A planner with read-only access to the directory can therefore open
the file, and leaves no other file beside it. The first apply places the whole file at once, so no process sees a
partial one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from hookline.errors import HooklineError, StateUnusable
from hookline.model import Address, Declared
from hookline.private_files import create_private_file, require_safe_directories, state_file_exists
from hookline.state import sqlite_schema as schema
from hookline.state.history_chain import next_record
from hookline.state.rows import history_row, move_row, read_history, read_snapshot
from hookline.state.store import EMPTY, NONE_DECLARED, Confirm, DocumentWrites, HistoryEntry, HistoryRecord, Snapshot
from hookline.state.store_errors import (
    damaged_state_error,
    earlier_build_error,
    newer_format_error,
    raise_if_stale,
    sqlite_state_error,
    stale_state_error,
)
from hookline.state.version_memory import Version, VersionMemory

_READ_MOVES = (
    "SELECT old_organization, old_sandbox, new_organization, new_sandbox, serial FROM moves ORDER BY serial, 1, 2"
)

# How long a reader waits for a writer's commit, and a writer for readers. Both hold the file for milliseconds.
LOCK_PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """A StateStore in an SQLite file. The first commit creates it, and calls `new_lineage` for the new state.

    `commit` waits for `lock_timeout` while another apply holds the database. For `patience`, a reader waits for a
    writer's commit, and a writer for readers.
    """

    path: Path
    _: KW_ONLY
    new_lineage: Callable[[], str]
    lock_timeout: timedelta = timedelta(0)
    patience: timedelta = LOCK_PATIENCE
    _versions: VersionMemory = field(default_factory=VersionMemory, init=False, repr=False, compare=False)

    def read(self, declared: Mapping[Address, Declared] = NONE_DECLARED) -> Snapshot:
        if not state_file_exists(self.path):
            return EMPTY
        with self._read_transaction("webhooks", "policies", "moves") as (connection, lineage, serial):
            rows = connection.execute("SELECT organization, sandbox, document FROM webhooks ORDER BY 1, 2")
            policy = connection.execute("SELECT document, serial FROM policies").fetchone()
            return read_snapshot((lineage, serial), rows, policy, connection.execute(_READ_MOVES), declared)

    def version(self) -> Version:
        return self._versions.read(self.path, self._read_version)

    def _read_version(self) -> Version:
        if not state_file_exists(self.path):
            return EMPTY.lineage, EMPTY.serial
        with self._mapped_errors(), closing(self._open_for_reading()) as connection:
            lineage, serial, _ = self._read_meta(connection)
            return lineage, serial

    def history(self) -> tuple[HistoryRecord, ...]:
        if not state_file_exists(self.path):
            return ()
        with self._read_transaction("history") as (connection, _, _):
            return read_history(connection.execute("SELECT * FROM history ORDER BY serial"))

    def now(self) -> datetime:
        return datetime.now(UTC)

    def commit(
        self, base: Snapshot, written: DocumentWrites, entry: HistoryEntry, confirm: Confirm | None = None
    ) -> Snapshot:
        if not state_file_exists(self.path):
            if confirm is not None:
                confirm(self.now())
            return self._create(base, written, entry)
        copy = None
        with self._mapped_errors(), closing(self._open("rw", self.lock_timeout)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            lineage, serial, written_in = self._read_meta(connection)
            if (base.lineage, base.serial) != (lineage, serial):
                raise_if_stale(self.path, base, (lineage, serial), self._last_apply())
            if confirm is not None:
                confirm(self.now())
            if written_in < schema.STATE_FORMAT:
                copy = schema.keep_copy(connection, self.path, written_in)
                schema.migrate(connection, written_in)
            snapshot = base.after(lineage, written, entry)
            _write(connection, snapshot, written, entry)
            # This connection holds the lock. COMMIT waits for readers only, and they are quick.
            connection.execute(f"PRAGMA busy_timeout = {int(self.patience / timedelta(milliseconds=1))}")
            connection.execute("COMMIT")
        if copy is not None:
            import logging  # noqa: PLC0415 - the import takes longer than reading the state of some hundred webhooks

            text = "The state %s was migrated to format %d. A copy of the old one is %s."
            logging.getLogger(__name__).warning(text, self.path, schema.STATE_FORMAT, copy)
        return snapshot

    def _create(self, base: Snapshot, written: DocumentWrites, entry: HistoryEntry) -> Snapshot:
        raise_if_stale(self.path, base, None, None)
        require_safe_directories(self.path)
        snapshot = base.after(self.new_lineage(), written, entry)
        try:
            create_private_file(self.path, _first_image(snapshot, written, entry))
        except FileExistsError as lost:
            raise stale_state_error(
                f"the state {self.path} was created since the plan was made", self._last_apply()
            ) from lost
        except OSError as failed:
            hint = "make its directory writable, or name another file with --state"
            raise StateUnusable(f"the state {self.path} cannot be created: {failed.strerror}", hint=hint) from failed
        return snapshot

    @contextmanager
    def _read_transaction(
        self, *tables: Literal["webhooks", "history", "policies", "moves"]
    ) -> Iterator[tuple[sqlite3.Connection, str, int]]:
        """Yield a connection in the current format, lineage and serial. Checks `tables`. All reads see one moment."""
        with self._mapped_errors(), closing(self._open_for_reading()) as connection:
            connection.execute("BEGIN")
            lineage, serial, written_in = self._read_meta(connection)
            for table in tables:
                (result,) = connection.execute(f"PRAGMA quick_check('{table}')").fetchone()
                if result != "ok":
                    raise damaged_state_error(self.path, result)
            if written_in == schema.STATE_FORMAT:
                yield connection, lineage, serial
            else:
                with closing(schema.migrated_in_memory(connection, written_in)) as migrated:
                    yield migrated, lineage, serial

    def _open_for_reading(self) -> sqlite3.Connection:
        try:
            return self._open("ro", self.patience)
        except sqlite3.OperationalError as error:
            if _result_code(error) != "SQLITE_READONLY_ROLLBACK":
                raise
        # An apply was killed during its commit. The next process that may write the file restores the old state when
        # it opens the file (https://www.sqlite.org/lockingv3.html#hot_journals).
        try:
            self._open("rw", self.patience).close()
        except sqlite3.OperationalError as error:
            raise sqlite_state_error(self.path, "SQLITE_READONLY_ROLLBACK", "") from error
        return self._open("ro", self.patience)

    def _open(self, mode: Literal["ro", "rw"], wait: timedelta) -> sqlite3.Connection:
        uri, seconds = f"{self.path.absolute().as_uri()}?mode={mode}", wait.total_seconds()
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=seconds)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            # This reads the first page, so a foreign file or an interrupted commit fails here.
            self._check_owner(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found == schema.EARLIER_STATE_APPLICATION_ID:
            raise earlier_build_error(self.path, "move the file away")
        if found != schema.STATE_APPLICATION_ID:
            hint = "name the state's file with --state"
            raise StateUnusable(f"{self.path} is an SQLite database, but not a state of hookline", hint=hint)

    def _read_meta(self, connection: sqlite3.Connection) -> tuple[str, int, int]:
        """Lineage, serial and format."""
        row = connection.execute("SELECT format FROM meta").fetchone()
        if row is None:
            raise damaged_state_error(self.path, "its format is missing")
        if row[0] > schema.STATE_FORMAT:
            raise newer_format_error(self.path, row[0], schema.STATE_FORMAT)
        if not schema.can_migrate(row[0]):
            raise earlier_build_error(self.path, "move the file away")
        lineage, serial = connection.execute("SELECT lineage, serial FROM meta").fetchone()
        return lineage, serial, row[0]

    def _last_apply(self) -> HistoryEntry | None:
        """The last apply, for messages; None if it cannot be read."""
        try:
            records = self.history()
        except HooklineError:
            return None
        return records[-1].entry if records else None

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise sqlite_state_error(self.path, _result_code(error), str(error)) from error
        except ValueError as error:
            raise damaged_state_error(self.path, str(error)) from error


def _result_code(error: sqlite3.Error) -> str:
    # Errors of the Python binding (text that is not UTF-8) have no result code.
    return getattr(error, "sqlite_errorname", "")


def _write(connection: sqlite3.Connection, snapshot: Snapshot, written: DocumentWrites, entry: HistoryEntry) -> None:
    for address, document in sorted(written.items()):
        key = (address.organization, address.sandbox)
        if document is None:
            connection.execute("DELETE FROM webhooks WHERE organization = ? AND sandbox = ?", key)
        else:
            row = (*key, snapshot.webhooks[address].canonical, snapshot.serial)
            connection.execute("INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?, ?)", row)
    connection.execute("UPDATE meta SET serial = ?", (snapshot.serial,))
    last = connection.execute("SELECT hash FROM history ORDER BY serial DESC LIMIT 1").fetchone()
    record = next_record(last[0] if last else None, snapshot, entry)
    connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", history_row(record))
    connection.executemany("INSERT INTO moves VALUES (?, ?, ?, ?, ?)", map(move_row, entry.moves(snapshot.serial)))
    if entry.policy is not None:
        connection.execute("DELETE FROM policies")
        if entry.policy.text is not None:
            connection.execute("INSERT INTO policies VALUES (1, ?, ?)", (entry.policy.text, snapshot.serial))


def _first_image(snapshot: Snapshot, written: DocumentWrites, entry: HistoryEntry) -> bytes:
    """The bytes of a database after its first apply."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.STATE_APPLICATION_ID}")
        connection.executescript(schema.STATE_TABLES)
        connection.execute(
            "INSERT INTO meta VALUES (1, ?, ?, ?)", (schema.STATE_FORMAT, snapshot.lineage, snapshot.serial)
        )
        _write(connection, snapshot, written, entry)
        return connection.serialize()
