"""`hookline spool recover`: saves the readable rows of a damaged spool in a new one, and reports the loss."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from hookline.errors import SpoolUnusable, WrongUse
from hookline.model import Address
from hookline.paths import is_directory, path_exists, resolved
from hookline.private_files import sync_directory
from hookline.relay.spool.account import with_pending
from hookline.relay.spool.sqlite.database import (
    DATABASE_FILE,
    FAULTS,
    create_directory,
    create_or_open,
    transaction,
)
from hookline.relay.spool.sqlite.enqueue import add_to_tally
from hookline.relay.spool.sqlite.lock import LOCK_FILE, read_holder, try_lock
from hookline.relay.spool.sqlite.permissions import map_os_errors
from hookline.relay.spool.sqlite.recovery.damaged_database import UNIQUE_INDEXES, DamagedDatabase
from hookline.relay.spool.sqlite.recovery.row_validation import (
    Column,
    InvalidRow,
    Row,
    valid_delivery,
    valid_line,
    valid_values,
)
from hookline.relay.spool.sqlite.webhook_status import number_of

_CHUNK_ROWS: Final = 1000
_TALLY_NAMES: Final = (
    *("read", "replayed", "moved_in", "delivered", "rejected", "dead", "duplicates", "moved_out"),
    *("attempts", "records"),
)
# By kind: the table, an index that holds each of its rows, and the condition of the kind.
_KINDS: Final = {
    "pending": ("delivery", "delivery_pending", "WHERE state = 0"),
    "dead": ("delivery", "delivery_dead", "WHERE state = 2"),
    "records": ("delivery", "delivery_done", "WHERE state IN (1, 3)"),
    "lines": ("rejected", UNIQUE_INDEXES["rejected"], ""),
    "webhooks": ("webhook", UNIQUE_INDEXES["webhook"], ""),
}

_OnProgress = Callable[[int, int | None], None]


class RecoveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `saved` and `lost` count the rows in the new spool and the missing rows (None: not known), by kind:
    pending, dead, records, lines, webhooks.

    `complete`: the tables, the indexes and the tally agree that nothing is missing. Only then the new spool has the
    `positions` of the sources and the known `messages` of streams. Otherwise `dropped` positions and
    `dropped_messages` are left out, and the relay reads sources from their start, and messages that are delivered
    again: saved events are duplicates by their ids, and lost ones are ingested again.
    """

    complete: bool
    saved: dict[str, int]
    lost: dict[str, int | None]
    positions: int
    dropped: int
    messages: int
    dropped_messages: int
    notes: list[str]


def recover(old: Path, new: Path, on_progress: _OnProgress | None = None) -> RecoveryResult:
    """Save the readable rows of the spool `old` in `new`, a directory that does not exist or is empty.

    Writes nothing to `old`. `new` appears when it is complete. `on_progress` gets the numbers of rows read so far and
    of all rows (None: not known). Raises WrongUse when `new` is not empty; SpoolUnusable when `old` does not exist,
    has another format or is held by a relay, or when the disk has no room.
    """
    with map_os_errors(new):
        if not path_exists(old / DATABASE_FILE, error=SpoolUnusable):
            raise SpoolUnusable(f"spool not found: {old}", hint="name the directory that contains its spool.db")
        if path_exists(new) and (not is_directory(new) or any(new.iterdir())):
            raise WrongUse(f"{new} already exists", hint="name a new directory, because nothing is overwritten")
        target = resolved(new)  # `.` has no name
        work = target.with_name(f".{target.name}.recovering")
        with _locked(old), _empty(work):
            copy, created = work / "old", work / "new"
            create_directory(copy)
            create_directory(created)
            with (
                closing(create_or_open(created)) as connection,
                closing(DamagedDatabase(old, copy, connection)) as damaged,
            ):
                recovered = _Salvage(damaged, connection, on_progress).save()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            created.rename(target)
            sync_directory(target.parent)
        return recovered


class _Salvage:
    """Validates the rows of `damaged` one by one and writes them through `connection`, table by table."""

    def __init__(
        self, damaged: DamagedDatabase, connection: sqlite3.Connection, on_progress: _OnProgress | None
    ) -> None:
        self._damaged = damaged
        self._connection = connection
        self._numbers: dict[object, int] = {}  # the numbers of webhooks in the new spool, by those in the old one
        self._known: dict[Address, int] = {}  # the numbers in the new spool
        self._moves: list[tuple[Address, Address]] = []
        self._number_of = cache(partial(number_of, connection))
        self._rows_read = 0
        self._on_progress = on_progress or (lambda _done, _total: None)
        totals = [damaged.count(table, UNIQUE_INDEXES[table]) for table in ("delivery", "rejected") if on_progress]
        self._total = None if None in totals else sum(filter(None, totals))

    def save(self) -> RecoveryResult:
        whole = self._save("followed_move", self._save_followed_move) & self._save("webhook", self._save_webhook)
        if not whole:
            self._save_webhooks_of_index()
        whole &= self._save("delivery", self._save_delivery) & self._save("rejected", self._save_line)
        tally, saved = self._read_tally(), self._saved_counts()
        former = self._former_counts(tally)
        lost = {kind: None if n is None else max(0, n - saved[kind]) for kind, n in former.items()}
        complete = whole and self._damaged.complete and self._agrees(saved, tally) and not any(lost.values())
        positions, dropped = self._save_small("position", "not every position can be read", keep=complete)
        streams, _ = self._save_small("stream", "not every stream can be read", keep=complete)
        messages, dropped_messages = self._save_small(
            "message", "not every known message can be read", keep=complete and streams > 0
        )
        self._write_tally(tally, saved)
        return RecoveryResult(
            complete=complete, saved=saved, lost=lost, positions=positions, dropped=dropped, messages=messages,
            dropped_messages=dropped_messages, notes=self._damaged.notes,
        )  # fmt: skip

    def _save_small(self, table: str, note: str, *, keep: bool) -> tuple[int, int]:
        """Save a table of which the relay can do without each row. Returns the numbers of rows that were kept, and of
        those that were left out."""
        columns, found, valid = self._columns(table), 0, []
        try:
            for row in self._damaged.rows(f"SELECT * FROM {table}"):
                found += 1
                with suppress(InvalidRow):
                    valid.append(valid_values(row, columns))
        except FAULTS:
            self._damaged.notes.append(note)
        if not keep:
            return 0, found
        with transaction(self._connection):
            for row in valid:
                with suppress(InvalidRow):
                    self._insert(table, row)
        return len(valid), found - len(valid)

    def _columns(self, table: str) -> list[Column]:
        declared = self._connection.execute(f"PRAGMA table_info({table})")
        return [Column(name, kind, bool(required or key)) for _, name, kind, required, _, key in declared]

    def _save(self, table: str, save: Callable[[Row], None]) -> bool:
        """True: the table was read whole, and every row was saved."""
        columns, invalid, notes = self._columns(table), 0, len(self._damaged.notes)
        rows = self._damaged.readable(table)
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            with transaction(self._connection, synced=False):
                for row in chunk:
                    try:
                        save(valid_values(row, columns))
                    except InvalidRow:
                        invalid += 1
            if table != "webhook":
                self._rows_read += len(chunk)
                self._on_progress(self._rows_read, self._total)
        if invalid:
            self._damaged.notes.append(f"table {table}: {invalid:,} damaged rows")
        return len(self._damaged.notes) == notes

    def _save_webhooks_of_index(self) -> None:
        """Save at least the addresses of webhooks; the pauses of these are lost."""
        query = f"SELECT n, organization, sandbox FROM webhook INDEXED BY {UNIQUE_INDEXES['webhook']}"
        columns = self._columns("webhook")
        with transaction(self._connection, synced=False), suppress(*FAULTS):
            for row in self._damaged.rows(query):
                with suppress(InvalidRow):
                    self._save_webhook(valid_values(row, columns))

    def _save_followed_move(self, row: Row) -> None:
        self._insert("followed_move", row)
        move = Address(row["organization"], row["sandbox"]), Address(row["new_organization"], row["new_sandbox"])
        self._moves.append(move)

    def _has_moved(self, old: Address, number: int | None) -> bool:
        """Whether the webhook of a row with the address `old` has moved to that of the webhook `number`."""
        addresses = {old}
        for before, after in self._moves:
            if before in addresses:
                addresses.add(after)
        return any(self._known.get(address) == number for address in addresses - {old})

    def _save_webhook(self, row: Row) -> None:
        address = Address(row["organization"], row["sandbox"])
        if not address.organization or not address.sandbox or "/" in address.sandbox:
            raise InvalidRow("address")
        try:
            self._insert("webhook", row)
        finally:
            self._numbers[row["n"]] = self._known[address] = self._number_of(address)

    def _save_delivery(self, row: Row) -> None:
        """A payload names its webhook, or an address from which that has moved. A record has only the number of its
        webhook."""
        delivery, address = valid_delivery({**row, "body": self._damaged.body(row["seq"])})
        body = delivery.pop("body")
        known = self._numbers.get(delivery["webhook"])
        if address is not None and not (known and self._has_moved(address, known)):
            number = self._number_of(address)
            self._numbers.setdefault(delivery["webhook"], number)
        elif known is None:
            raise InvalidRow("webhook")
        else:
            number = known
        self._insert("delivery", {**delivery, "webhook": number})
        if body is not None:
            self._insert("body", {"seq": delivery["seq"], "content": body})

    def _save_line(self, row: Row) -> None:
        self._insert("rejected", valid_line(row))

    def _insert(self, table: str, row: Row) -> None:
        statement = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        if not self._connection.execute(statement, tuple(row.values())).rowcount:
            raise InvalidRow("a row with this key or id is saved already")

    def _saved_counts(self) -> dict[str, int]:
        return {
            kind: self._connection.execute(f"SELECT count(*) FROM {table} {where}").fetchone()[0]
            for kind, (table, _, where) in _KINDS.items()
        }

    def _read_tally(self) -> dict[str, int] | None:
        """The tally of the old spool. None: it is damaged."""
        columns = self._columns("tally")
        try:
            rows = [valid_values(row, columns) for row in self._damaged.rows("SELECT name, count FROM tally")]
        except InvalidRow:
            return None
        except FAULTS:
            self._damaged.notes.append("table tally: SQLite cannot read all of it")
            return None
        tally = {row["name"]: row["count"] for row in rows}
        return tally if all(name in _TALLY_NAMES or name.startswith("skipped:") for name in tally) else None

    def _former_counts(self, tally: Mapping[str, int] | None) -> dict[str, int | None]:
        """The number of rows of the old spool, by kind: by an index, otherwise by the tally. None: not known."""
        found = {kind: self._damaged.count(*index) for kind, index in _KINDS.items()}
        known = with_pending(dict(tally)) if tally and "read" in tally else {}
        return {kind: known.get(kind) if n is None and kind != "dead" else n for kind, n in found.items()}

    def _agrees(self, saved: Mapping[str, int], tally: dict[str, int] | None) -> bool:
        """Whether the unique indexes have as many rows as were saved, and the tally as many pending deliveries."""
        deliveries = saved["pending"] + saved["dead"] + saved["records"]
        return (
            self._damaged.count("delivery", UNIQUE_INDEXES["delivery"]) == deliveries
            and self._damaged.count("rejected", UNIQUE_INDEXES["rejected"]) == saved["lines"]
            and (tally is None or with_pending(tally)["pending"] == saved["pending"])
        )

    def _write_tally(self, tally: dict[str, int] | None, saved: Mapping[str, int]) -> None:
        """Write the old counts. Lost events count as never read, because they are read again."""
        counts = {**(tally or {}), "records": saved["records"]}
        read = counts.get("read", 0) + saved["pending"] - with_pending(counts)["pending"]
        counts["read"] = max(0, read)
        counts["replayed"] = counts.get("replayed", 0) + min(0, read)
        with transaction(self._connection):
            self._connection.execute("DELETE FROM tally")
            add_to_tally(self._connection, counts.items())


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep relays away from the spool. The lock is shared, so that its file is not written to."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise SpoolUnusable(f"the spool {directory} cannot be read: {error.strerror}") from error
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            holder = read_holder(descriptor)
            raise SpoolUnusable(f"the spool {directory} is held by {holder}", hint="stop that relay first")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _empty(directory: Path) -> Iterator[None]:
    """A directory for this run. Removes the rest of an interrupted run first."""
    shutil.rmtree(directory, ignore_errors=True)
    try:
        create_directory(directory)
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
