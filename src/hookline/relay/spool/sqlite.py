"""The embedded spool: one SQLite database, groups of events in one synced transaction."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hookline.model import Address
from hookline.relay.fates import Line
from hookline.relay.sources.port import Position
from hookline.relay.spool.database import create_or_open, make_directory, transaction
from hookline.relay.spool.lock import SpoolLock
from hookline.relay.spool.port import Intake, Refused, Rereading, Settlement, Waiting
from hookline.relay.spool.positions import forget_oldest, read_positions, write_position
from hookline.relay.spool.schema import State

_INSERT = """
INSERT INTO delivery (seq, id, webhook, order_key, since, request_id, channel, status, event_time, source, line, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  seq = excluded.seq, state = 0, due = NULL, order_key = excluded.order_key, tries = 0, refusals = 0,
  since = excluded.since, settled = NULL, source = excluded.source, line = excluded.line, reason = NULL,
  http = NULL, body = excluded.body
WHERE delivery.state IN (1, 3) AND delivery.settled <= ?
"""
_REJECT = """
INSERT INTO rejected (at, source, line, part, reason, length, sha256, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""
_COLUMNS = "seq, id, webhook, due, order_key, attempts, tries, refusals, since, event_time, body"
_FRESH = f"""
SELECT {_COLUMNS} FROM delivery d WHERE state = 0 AND due IS NULL AND webhook = ? AND seq > ? %s ORDER BY seq LIMIT ?
"""
_NO_PREDECESSOR = """AND (order_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM delivery p WHERE p.state = 0 AND p.order_key = d.order_key AND p.seq < d.seq))"""
_DUE = f"""
SELECT {_COLUMNS} FROM delivery
WHERE state = 0 AND due IS NOT NULL AND due <= ? AND webhook = ? ORDER BY due LIMIT ?
"""
_SUCCESSOR = f"""
SELECT {_COLUMNS} FROM delivery WHERE state = 0 AND order_key = ? AND seq > ? ORDER BY seq LIMIT 1
"""
_SETTLE = """
UPDATE delivery SET state = :state, due = :due, attempts = :attempts, tries = :tries, refusals = :refusals,
  reason = :reason, http = :http, settled = :settled, body = CASE WHEN :state = 1 THEN NULL ELSE body END
WHERE seq = :seq AND state = 0
"""
_COUNT = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (what) DO UPDATE SET n = n + excluded.n"


class SqliteSpool:
    """Implements port.Spool. Held by one process at a time (`lock`); other commands work beside it."""

    def __init__(self, directory: Path, *, since: str) -> None:
        """Open or make the spool and lock it. `since` is this moment as text, for the message to a second relay.

        Raises SpoolUnusable when it is held, damaged, or newer than this program.
        """
        make_directory(directory)
        self._lock = SpoolLock(directory, since=since)
        try:
            self._connection = create_or_open(directory)
        except BaseException:
            self._lock.release()
            raise
        forget_oldest(self._connection)
        self._addresses = {
            n: Address(organization, sandbox)
            for n, organization, sandbox in self._query("SELECT n, organization, sandbox FROM webhook")
        }
        self._webhooks = {address: n for n, address in self._addresses.items()}
        self._data_version: int = self._query("PRAGMA data_version")[0][0]
        self._seq: int = self._query("SELECT coalesce(max(seq), 0) FROM delivery")[0][0]

    def _query(self, statement: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
        return self._connection.execute(statement, parameters).fetchall()

    def positions(self) -> list[Position]:
        return read_positions(self._connection)

    def to_read_again(self, *, limit: int) -> list[Rereading]:
        found = self._query(
            "SELECT n, source, line, part, length, sha256, data FROM rejected WHERE again = 1 ORDER BY n LIMIT ?",
            limit,
        )
        return [
            Rereading(n, source, Line(line, data, length, sha256 if length > len(data) else None), part)
            for n, source, line, part, length, sha256, data in found
        ]

    def append(self, intake: Intake, *, now: float, dedupe_window: float) -> None:
        for address in {taken.delivery.address for taken in intake.deliveries}:
            self._webhook(address)
        with transaction(self._connection):
            self._connection.executemany("DELETE FROM rejected WHERE n = ?", [(n,) for n in intake.again])
            stored = self._store(intake, now, now - dedupe_window)
            refused = self._refuse(intake.source, intake.rejected, now)
            duplicates = len(intake.deliveries) - stored + len(intake.rejected) - refused
            self._count({"read": intake.read, "replayed": len(intake.again)})
            self._count({"rejected": refused, "duplicates": duplicates})
            self._count({f"skipped:{reason}": n for reason, n in intake.skipped.items()})
            if intake.position is not None:
                write_position(self._connection, intake.position, now=now)

    def _store(self, intake: Intake, now: float, horizon: float) -> int:
        rows = []
        for taken in intake.deliveries:
            self._seq += 1
            one = taken.delivery
            rows.append(
                (self._seq, one.id, self._webhooks[one.address], one.order_key, now, one.request_id, one.channel,
                 one.status, one.time, intake.source, taken.line, one.body, horizon)
            )  # fmt: skip
        return self._connection.executemany(_INSERT, rows).rowcount if rows else 0

    def _refuse(self, source: str, rejected: Sequence[Refused], now: float) -> int:
        rows = [
            (now, source, one.line.number, one.part, one.reason, one.line.length,
             one.line.sha256 or hashlib.sha256(one.line.data).digest(), one.line.data)
            for one in rejected
        ]  # fmt: skip
        return self._connection.executemany(_REJECT, rows).rowcount if rows else 0

    def _webhook(self, address: Address) -> int:
        """The webhook's number, stored in a transaction of its own when it is new."""
        if (number := self._webhooks.get(address)) is None:
            self._connection.execute(
                "INSERT OR IGNORE INTO webhook (organization, sandbox) VALUES (?, ?)",
                (address.organization, address.sandbox),
            )
            found = self._query(
                "SELECT n FROM webhook WHERE organization = ? AND sandbox = ?", address.organization, address.sandbox
            )
            number = int(found[0][0])
            self._webhooks[address] = number
            self._addresses[number] = address
        return number

    def _count(self, amounts: Mapping[str, int]) -> None:
        self._connection.executemany(_COUNT, [(what, n) for what, n in amounts.items() if n])

    def fresh(self, address: Address, *, after: int, limit: int, ordered: bool) -> tuple[list[Waiting], int]:
        if (webhook := self._webhooks.get(address)) is None:
            return [], self._seq
        rows = self._query(_FRESH % (_NO_PREDECESSOR if ordered else ""), webhook, after, limit)
        return [self._waiting(row) for row in rows], rows[-1][0] if len(rows) == limit else self._seq

    def due(self, address: Address, *, now: float, limit: int, without: Collection[int]) -> list[Waiting]:
        if (webhook := self._webhooks.get(address)) is None:
            return []
        rows = self._query(_DUE, now, webhook, limit + len(without))
        return [self._waiting(row) for row in rows if row[0] not in without][:limit]

    def next_due(self, address: Address, *, after: float) -> float | None:
        found = self._query(
            "SELECT min(due) FROM delivery WHERE state = 0 AND due > ? AND webhook = ?",
            after,
            self._webhooks.get(address),
        )
        due: float | None = found[0][0]
        return due

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[Waiting]:
        counted: Counter[str] = Counter()
        with transaction(self._connection):
            for one in settlements:
                counted["attempts"] += one.posts
                counted[_WORDS[one.state]] += self._connection.execute(_SETTLE, _settle_row(one, now)).rowcount
            del counted["pending"]
            self._count(counted)
            return [
                self._waiting(row)
                for one in settlements
                if one.state != State.PENDING and one.order_key is not None
                for row in self._query(_SUCCESSOR, one.order_key, one.seq)
            ]

    def bury(self, address: Address, *, reason: str, now: float, without: Collection[int]) -> int:
        if (webhook := self._webhooks.get(address)) is None:
            return 0
        with transaction(self._connection):
            self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS spared (seq INTEGER PRIMARY KEY)")
            self._connection.execute("DELETE FROM spared")
            self._connection.executemany("INSERT INTO spared VALUES (?)", [(seq,) for seq in without])
            buried: int = self._connection.execute(
                "UPDATE delivery SET state = 2, reason = ?, settled = ? "
                "WHERE state = 0 AND webhook = ? AND seq NOT IN (SELECT seq FROM spared)",
                (reason, now, webhook),
            ).rowcount
            self._count({"dead": buried})
        return buried

    def changed_elsewhere(self) -> bool:
        seen, self._data_version = self._data_version, self._query("PRAGMA data_version")[0][0]
        return seen != self._data_version

    def pending(self) -> set[Address]:
        return {
            address
            for address, n in self._webhooks.items()
            if self._query("SELECT 1 FROM delivery WHERE state = 0 AND webhook = ? LIMIT 1", n)
        }

    def hold(self, address: Address, *, held: bool, now: float) -> None:
        number = self._webhook(address)
        with transaction(self._connection):
            (since,) = self._query("SELECT held FROM webhook WHERE n = ?", number)[0]
            if held and since is None:
                self._connection.execute("UPDATE webhook SET held = ? WHERE n = ?", (now, number))
            elif not held and since is not None:
                self._connection.execute("UPDATE webhook SET held = NULL WHERE n = ?", (number,))
                self._connection.execute(
                    "UPDATE delivery SET since = since + ? - max(since, ?) WHERE state = 0 AND webhook = ?",
                    (now, since, number),
                )

    def _waiting(self, row: tuple) -> Waiting:  # type: ignore[type-arg]
        seq, identity, webhook, due, order_key, attempts, tries, refusals, since, event_time, body = row
        return Waiting(
            seq=seq,
            id=identity,
            address=self._addresses[webhook],
            due=due,
            order_key=order_key,
            attempts=attempts,
            tries=tries,
            refusals=refusals,
            since=since,
            event_time=event_time,
            body=body,
        )

    def tally(self) -> dict[str, int]:
        return with_pending(dict(self._query("SELECT what, n FROM tally")))

    def close(self) -> None:
        self._connection.close()
        self._lock.release()


_WORDS = {State.PENDING: "pending", State.DELIVERED: "delivered", State.DEAD: "dead"}


def _settle_row(one: Settlement, now: float) -> dict[str, object]:
    settled = None if one.state == State.PENDING else now
    return {
        "state": int(one.state), "due": one.due, "attempts": one.attempts, "tries": one.tries,
        "refusals": one.refusals, "reason": one.reason, "http": one.http, "settled": settled, "seq": one.seq,
    }  # fmt: skip


def with_pending(tally: dict[str, int]) -> dict[str, int]:
    """The tally, with what is still pending worked out from it: read + replayed less everything that is settled."""
    settled = sum(
        n for what, n in tally.items() if what.startswith(("delivered", "skipped:", "rejected", "dead", "dup"))
    )
    return {**tally, "pending": tally.get("read", 0) + tally.get("replayed", 0) - settled}
