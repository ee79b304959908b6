"""From a damaged spool into a new one: row by row, each looked at first."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from hookline.model import Address
from hookline.relay.spool import soundness
from hookline.relay.spool.damaged import Damaged, Unreadable
from hookline.relay.spool.database import transaction
from hookline.relay.spool.soundness import Row, Unsound
from hookline.relay.spool.standing import number_of
from hookline.relay.spool.storing import with_pending

_CHUNK: Final = 1000
_OF_DELIVERIES: Final = "sqlite_autoindex_delivery_1"
_OF_LINES: Final = "sqlite_autoindex_rejected_1"
_COUNTED: Final = ("read", "replayed", "delivered", "rejected", "dead", "duplicates", "attempts", "records")
_COUNTS: Final = """
SELECT (SELECT count(*) FROM delivery WHERE state = 0), (SELECT count(*) FROM delivery WHERE state = 2),
  (SELECT count(*) FROM delivery WHERE state IN (1, 3)), (SELECT count(*) FROM rejected),
  (SELECT count(*) FROM webhook)
"""

Sound = Mapping[str, object]
Told = Callable[[int, int | None], None]


class Saving:
    """`notes`: what was found damaged, in words. `told` hears how many rows were looked at, and how many there seem
    to be; None: nobody knows."""

    def __init__(self, damaged: Damaged, connection: sqlite3.Connection, told: Told | None = None) -> None:
        self.notes: list[str] = []
        self._damaged = damaged
        self._connection = connection
        self._addresses: dict[Address, int] = {}
        self._numbers: dict[object, int] = {}
        self._walked = {"delivery": 0, "rejected": 0}
        self._told = told
        self._looked_at = 0
        self._expected = self._rows() if told else None

    # -- the tables

    def webhooks(self) -> bool:
        """How webhooks stand. What the table lost, its index may still name. True: the table was whole."""
        whole = self._table("webhook", self._webhook)
        if not whole:
            with transaction(self._connection, synced=False), suppress(Unreadable):
                for row in self._damaged.rows("webhook", "sqlite_autoindex_webhook_1"):
                    with suppress(Unsound):
                        self._webhook({**row, "held": None})
        return whole

    def deliveries(self) -> bool:
        return self._table("delivery", self._delivery)

    def lines(self) -> bool:
        return self._table("rejected", self._rejected)

    def positions(self, *, keep: bool) -> tuple[int, int]:
        """How many positions were kept, and how many were not."""
        sound: list[Sound] = []
        unsound = 0
        try:
            for row in self._damaged.rows("position"):
                try:
                    sound.append(soundness.position(row))
                except (Unsound, KeyError):
                    unsound += 1
        except Unreadable:
            self.notes.append("not every position can be read")
        if not keep:
            return 0, len(sound) + unsound
        with transaction(self._connection):
            for one in sound:
                self._insert("position", one)
        return len(sound), unsound

    def _table(self, table: str, save: Callable[[Row], None]) -> bool:
        """True: it could be read to its end, and every row was sound."""
        unsound = 0
        try:
            for chunk in _chunks(self._damaged.rows(table)):
                with transaction(self._connection, synced=False):
                    unsound += sum(not _saved(save, row) for row in chunk)
                if table in self._walked:
                    self._walked[table] += len(chunk)
                    self._tell(len(chunk))
        except Unreadable as error:
            self.notes.append(f"table {table}: SQLite cannot read all of it ({error})")
            return False
        if unsound:
            self.notes.append(f"table {table}: {unsound:,} damaged rows")
        return not unsound

    def from_pages(self) -> None:
        """Whatever else looks like a row of ours: where the way to a page is lost, the page is still there."""
        before = sum(self.counts().values())
        self._expected = None
        for save in (self._carved_webhook, self._carved_row):
            carved = self._damaged.carved()
            while chunk := list(islice(carved, _CHUNK)):
                with transaction(self._connection, synced=False):
                    for number, values in chunk:
                        with suppress(Unsound):
                            save(number, values)
                self._tell(len(chunk))
        if found := sum(self.counts().values()) - before:
            self.notes.append(f"{found:,} rows were found by looking at every page")

    def _carved_webhook(self, number: int, values: Sequence[object]) -> None:
        if len(values) == len(soundness.WEBHOOK):
            self._webhook({**dict(zip(soundness.WEBHOOK, values, strict=True)), "n": number})

    def _carved_row(self, number: int, values: Sequence[object]) -> None:
        if len(values) == len(soundness.REJECTED):
            self._rejected({**dict(zip(soundness.REJECTED, values, strict=True)), "n": number})
        else:
            self._delivery(soundness.carved_delivery(number, values))

    def _rows(self) -> int | None:
        """By the indexes."""
        deliveries = self._damaged.count("delivery", _OF_DELIVERIES)
        lines = self._damaged.count("rejected", _OF_LINES)
        return None if deliveries is None or lines is None else deliveries + lines

    def _tell(self, rows: int) -> None:
        self._looked_at += rows
        if self._told is not None:
            self._told(self._looked_at, self._expected)

    # -- the rows

    def _webhook(self, row: Row) -> None:
        one = soundness.webhook(row)
        self._insert("webhook", one)
        self._numbers[one["n"]] = self._number(Address(str(one["organization"]), str(one["sandbox"])))

    def _delivery(self, row: Row) -> None:
        """What has a payload is for the webhook that this names; of a record, the webhook's number must be known."""
        one, address = soundness.delivery(row)
        if address is not None:
            number = self._number(address)
            self._numbers.setdefault(one["webhook"], number)
        else:
            number = self._numbers.get(one["webhook"], 0)
            if not number:
                raise Unsound("webhook")
        self._insert("delivery", {**one, "webhook": number})

    def _number(self, address: Address) -> int:
        if address not in self._addresses:
            self._addresses[address] = number_of(self._connection, address)
        return self._addresses[address]

    def _rejected(self, row: Row) -> None:
        self._insert("rejected", soundness.rejected(row))

    def _insert(self, table: str, row: Sound) -> None:
        """What is there already stays: it was read by a better way."""
        names = ", ".join(row)
        self._connection.execute(
            f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )

    # -- the accounts

    def counts(self) -> dict[str, int]:
        """What is in the new spool by now."""
        pending, dead, records, lines, webhooks = self._connection.execute(_COUNTS).fetchone()
        return {"pending": pending, "dead": dead, "records": records, "lines": lines, "webhooks": webhooks}

    def read_tally(self) -> dict[str, int] | None:
        """None: it is not whole."""
        tally: dict[str, int] = {}
        try:
            for row in self._damaged.rows("tally"):
                what, n = row["what"], row["n"]
                if not isinstance(what, bytes) or not isinstance(n, int) or n < 0:
                    return None
                name = what.decode("ascii")
                if name not in _COUNTED and not name.startswith("skipped:"):
                    return None
                tally[name] = n
        except (Unreadable, UnicodeDecodeError):
            self.notes.append("table tally: SQLite cannot read all of it")
            return None
        return tally

    def accounts(self, tally: dict[str, int] | None) -> dict[str, list[int | None]]:
        """By kind, how many there were: by an index, else by the tally."""
        count = self._damaged.count
        whole = tally is not None and "read" in tally
        return {
            "pending": [count("delivery", "delivery_pending", "WHERE state = 0"),
                        with_pending(tally)["pending"] if tally is not None and whole else None],
            "dead": [count("delivery", "delivery_dead", "WHERE state = 2")],
            "records": [count("delivery", "delivery_done", "WHERE state IN (1, 3)"),
                        tally.get("records") if tally is not None and whole else None],
            "lines": [count("rejected", _OF_LINES)],
            "webhooks": [count("webhook", "sqlite_autoindex_webhook_1")],
        }  # fmt: skip

    def agrees(self, saved: Mapping[str, int], tally: dict[str, int] | None) -> bool:
        """Whether an index knows as many rows as the table, and the tally as many pending deliveries."""
        deliveries = saved["pending"] + saved["dead"] + saved["records"]
        return (
            self._damaged.count("delivery", _OF_DELIVERIES) == deliveries == self._walked["delivery"]
            and self._damaged.count("rejected", _OF_LINES) == saved["lines"] == self._walked["rejected"]
            and (tally is None or with_pending(tally)["pending"] == saved["pending"])
        )

    def write_tally(self, tally: dict[str, int] | None, saved: Mapping[str, int]) -> None:
        """The old counts, with `read` set right: what was lost counts as never read, since it is read again."""
        counts = {**(tally or {}), "records": saved["records"]}
        short = saved["pending"] - with_pending(counts)["pending"]
        read = counts.get("read", 0) + short
        counts["read"] = max(0, read)
        counts["replayed"] = counts.get("replayed", 0) + min(0, read)
        self._connection.execute("DELETE FROM tally")
        self._connection.executemany(
            "INSERT INTO tally VALUES (?, ?)", [(what, n) for what, n in counts.items() if n]
        )


def _saved(save: Callable[[Row], None], row: Row) -> bool:
    try:
        save(row)
    except (Unsound, KeyError):
        return False
    return True


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """In groups, the last one before an error too."""
    group: list[Row] = []
    try:
        for row in rows:
            group.append(row)
            if len(group) == _CHUNK:
                yield group
                group = []
    except Unreadable:
        yield group
        raise
    yield group
