"""Salvage of a damaged spool: its rows are validated one by one and written into a new spool."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from hookline.model import Address
from hookline.relay.spool.sqlite.database import transaction
from hookline.relay.spool.sqlite.enqueue import with_pending
from hookline.relay.spool.sqlite.recovery.damaged_database import DamagedDatabase, Unreadable
from hookline.relay.spool.sqlite.recovery.row_validation import (
    InvalidRow,
    Row,
    valid_delivery,
    valid_line,
    valid_position,
    valid_webhook,
)
from hookline.relay.spool.sqlite.webhook_status import number_of

_CHUNK_ROWS: Final = 1000
_KEYS: Final = {"webhook": "n", "delivery": "seq", "rejected": "n"}
_UNIQUE: Final = {table: f"sqlite_autoindex_{table}_1" for table in _KEYS}
_COUNTED: Final = ("read", "replayed", "delivered", "rejected", "dead", "duplicates", "attempts", "records")
_COUNTS: Final = """
SELECT (SELECT count(*) FROM delivery WHERE state = 0) AS pending,
  (SELECT count(*) FROM delivery WHERE state = 2) AS dead,
  (SELECT count(*) FROM delivery WHERE state IN (1, 3)) AS records,
  (SELECT count(*) FROM rejected) AS lines, (SELECT count(*) FROM webhook) AS webhooks
"""

OnSalvageProgress = Callable[[int, int | None], None]


class Salvage:
    """Saves the rows of `damaged` through `connection`, table by table.

    `notes` lists the damage of the tables. `on_progress` gets the number of rows read so far and of all rows (None:
    not known), once per 1,000 rows.
    """

    def __init__(
        self, damaged: DamagedDatabase, connection: sqlite3.Connection, on_progress: OnSalvageProgress | None = None
    ) -> None:
        self.notes: list[str] = []
        self._damaged = damaged
        self._connection = connection
        self._numbers: dict[object, int] = {}  # of webhooks: in the new spool, by the number in the old one
        self._addresses: dict[Address, int] = {}
        self._read = dict.fromkeys(_KEYS, 0)
        self._on_progress = on_progress or (lambda _done, _total: None)
        totals = [damaged.count(table, _UNIQUE[table]) for table in ("delivery", "rejected")] if on_progress else []
        self._total = None if None in totals else sum(filter(None, totals))

    def save_tables(self) -> bool:
        """Save webhooks, deliveries and rejected lines. True: each table was read whole, and every row was valid."""
        whole = self._save("webhook", self._save_webhook)
        if not whole:
            self._save_webhooks_of_index()
        return whole & self._save("delivery", self._save_delivery) & self._save("rejected", self._save_line)

    def save_positions(self, *, keep: bool) -> tuple[int, int]:
        """The number of positions that were kept, and of those that were left out."""
        valid: list[Row] = []
        invalid = 0
        try:
            for row in self._damaged.rows("SELECT * FROM position"):
                try:
                    valid.append(valid_position(row))
                except (InvalidRow, KeyError):
                    invalid += 1
        except Unreadable:
            self.notes.append("not every position can be read")
        if not keep:
            return 0, len(valid) + invalid
        with transaction(self._connection):
            for one in valid:
                self._insert("position", one)
        return len(valid), invalid

    def _save(self, table: str, save: Callable[[Row], None]) -> bool:
        invalid = 0
        try:
            for chunk in _chunks(self._damaged.readable(table, _KEYS[table], _UNIQUE[table])):
                with transaction(self._connection, synced=False):
                    invalid += sum(not _is_saved(save, row) for row in chunk)
                self._read[table] += len(chunk)
                if table != "webhook":
                    self._on_progress(self._read["delivery"] + self._read["rejected"], self._total)
        except Unreadable as damage:
            self.notes.append(f"table {table}: {damage}")
            return False
        if invalid:
            self.notes.append(f"table {table}: {invalid:,} damaged rows")
        return not invalid

    def _save_webhooks_of_index(self) -> None:
        """Their names at least; the pauses of these are lost."""
        query = f"SELECT n, organization, sandbox FROM webhook INDEXED BY {_UNIQUE['webhook']}"
        with transaction(self._connection, synced=False), suppress(Unreadable):
            for row in self._damaged.rows(query):
                _is_saved(self._save_webhook, {**_NEW_WEBHOOK, **row})

    def _save_webhook(self, row: Row) -> None:
        webhook = valid_webhook(row)
        self._insert("webhook", webhook)
        address = Address(str(webhook["organization"]), str(webhook["sandbox"]))
        self._numbers[webhook["n"]] = self._number_of(address)

    def _save_delivery(self, row: Row) -> None:
        """A payload names its webhook; a record has only the number of its webhook."""
        delivery, address = valid_delivery(row)
        if address is not None:
            number = self._number_of(address)
            self._numbers.setdefault(delivery["webhook"], number)
        elif (number := self._numbers.get(delivery["webhook"], 0)) == 0:
            raise InvalidRow("webhook")
        self._insert("delivery", {**delivery, "webhook": number})

    def _number_of(self, address: Address) -> int:
        if address not in self._addresses:
            self._addresses[address] = number_of(self._connection, address)
        return self._addresses[address]

    def _save_line(self, row: Row) -> None:
        self._insert("rejected", valid_line(row))

    def _insert(self, table: str, row: Row) -> None:
        """A row with a key or id that is saved already is ignored."""
        names = ", ".join(row)
        self._connection.execute(
            f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )

    def counts(self) -> dict[str, int]:
        """The rows in the new spool, by kind."""
        cursor = self._connection.execute(_COUNTS)
        return dict(zip([name for name, *_ in cursor.description], cursor.fetchone(), strict=True))

    def read_tally(self) -> dict[str, int] | None:
        """The tally of the old spool; None when it is damaged."""
        tally: dict[str, int] = {}
        try:
            for row in self._damaged.rows("SELECT what, n FROM tally"):
                name, n = str(row["what"], "ascii") if isinstance(row["what"], bytes) else "", row["n"]
                if not isinstance(n, int) or n < 0 or not (name in _COUNTED or name.startswith("skipped:")):
                    return None
                tally[name] = n
        except (Unreadable, UnicodeDecodeError):
            self.notes.append("table tally: SQLite cannot read all of it")
            return None
        return tally

    def former_counts(self, tally: Mapping[str, int] | None) -> dict[str, int | None]:
        """The rows of the old spool, by kind: by an index, otherwise by the tally. None: neither can be read."""
        count = self._damaged.count
        known = dict(tally) if tally is not None and "read" in tally else None
        found = {
            "pending": count("delivery", "delivery_pending", "WHERE state = 0"),
            "dead": count("delivery", "delivery_dead", "WHERE state = 2"),
            "records": count("delivery", "delivery_done", "WHERE state IN (1, 3)"),
            "lines": count("rejected", _UNIQUE["rejected"]),
            "webhooks": count("webhook", _UNIQUE["webhook"]),
        }
        if known is not None and found["pending"] is None:
            found["pending"] = with_pending(known)["pending"]
        if known is not None and found["records"] is None:
            found["records"] = known.get("records")
        return found

    def agrees(self, saved: Mapping[str, int], tally: dict[str, int] | None) -> bool:
        """Whether the indexes know as many rows as were read and saved, and the tally as many pending deliveries."""
        deliveries = saved["pending"] + saved["dead"] + saved["records"]
        return (
            self._damaged.count("delivery", _UNIQUE["delivery"]) == deliveries == self._read["delivery"]
            and self._damaged.count("rejected", _UNIQUE["rejected"]) == saved["lines"] == self._read["rejected"]
            and (tally is None or with_pending(tally)["pending"] == saved["pending"])
        )

    def write_tally(self, tally: dict[str, int] | None, saved: Mapping[str, int]) -> None:
        """The old counts. `read` is corrected: lost events count as never read, because they are read again."""
        counts = {**(tally or {}), "records": saved["records"]}
        read = counts.get("read", 0) + saved["pending"] - with_pending(counts)["pending"]
        counts["read"] = max(0, read)
        counts["replayed"] = counts.get("replayed", 0) + min(0, read)
        self._connection.execute("DELETE FROM tally")
        self._connection.executemany(
            "INSERT INTO tally VALUES (?, ?)", [(what, n) for what, n in counts.items() if n]
        )


_NEW_WEBHOOK: Final[dict[str, object]] = {
    "disabled": 0, "paused": None, "held": None, "idle": 0.0, "stopped": None, "stopped_as": None,
    "not_before": None, "hurried": None,
}  # fmt: skip


def _is_saved(save: Callable[[Row], None], row: Row) -> bool:
    try:
        save(row)
    except (InvalidRow, KeyError):
        return False
    return True


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """In groups; the last one comes also before an error."""
    group: list[Row] = []
    try:
        for row in rows:
            group.append(row)
            if len(group) == _CHUNK_ROWS:
                yield group
                group = []
    except Unreadable:
        yield group
        raise
    yield group
