"""Removes a recipient from a shared spool while relays run.

A transaction locks the rows of a page that contain the recipient. It leaves out rows that an owner settles at this
moment: the next search finds them again, as records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from hookline.relay.spool.admin import FORGOTTEN, MAX_FORGOTTEN_IDS, ForgetCount, ForgetResult, OnSearched
from hookline.relay.spool.postgres.operator_ports.operator_port import OperatorPort, Run, count_change
from hookline.relay.spool.postgres.spool_connection import SpoolRow
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool_values import State

SEARCHED_PER_QUERY: Final = 500
LINES_PER_QUERY: Final = 50  # a line has up to 1 MiB
MAX_SHARED_SEARCHES: Final = 5

# The texts that a provider, a caller or an endpoint has written, and their values without a recipient.
_TEXTS: Final = {
    "detail": "NULL", "history": "NULL", "reason": f"'{FORGOTTEN}'", "request_id": f"'{FORGOTTEN}'",
    "execution_id": "NULL", "source": f"'{FORGOTTEN}'",
}  # fmt: skip
_COLUMNS: Final = ", ".join(_TEXTS)
_DELIVERIES: Final = f"""
SELECT seq, body, {_COLUMNS} FROM spool.delivery WHERE seq > %s ORDER BY seq LIMIT {SEARCHED_PER_QUERY}
"""
_RECORDS: Final = f"""
SELECT id, NULL::bytea, {_COLUMNS} FROM spool.record WHERE id > %s ORDER BY id LIMIT {SEARCHED_PER_QUERY}
"""
_LINES: Final = f"""
SELECT n, data, source, reason FROM spool.rejected WHERE n > %s ORDER BY n LIMIT {LINES_PER_QUERY}
"""
_STATES: Final = "SELECT state, count(*) FROM spool.delivery WHERE seq = ANY(%s) GROUP BY state"
_LOCK: Final = """
SELECT seq, state, webhook, id FROM spool.delivery WHERE seq = ANY(%s) ORDER BY seq FOR UPDATE SKIP LOCKED
"""
_END: Final = f"""
WITH gone AS (
  DELETE FROM spool.delivery WHERE seq = ANY(%(seqs)s)
  RETURNING seq, id, webhook, attempts, since, request_id, channel, status, event_time, source, line, http,
    execution_id
)
INSERT INTO spool.record (period, state, settled, reason, seq, id, webhook, attempts, since, request_id, channel,
  status, event_time, source, line, http, execution_id)
SELECT (SELECT period FROM spool.record_period ORDER BY begun DESC NULLS LAST, period LIMIT 1), {State.DISCARDED:d},
  %(now)s, '{FORGOTTEN}', seq, id, webhook, attempts, since,
  CASE WHEN seq = ANY(%(request_id)s) THEN '{FORGOTTEN}' ELSE request_id END, channel, status, event_time,
  CASE WHEN seq = ANY(%(source)s) THEN '{FORGOTTEN}' ELSE source END, line, http,
  CASE WHEN seq = ANY(%(execution_id)s) THEN NULL ELSE execution_id END
FROM gone
"""
_MARK: Final = "UPDATE spool.webhook SET forgotten_at = %s WHERE n = ANY(%s)"
_DELETE_LINES: Final = "DELETE FROM spool.rejected WHERE n = ANY(%s)"
_SEARCHED_TABLES: Final = ("delivery", "record", "rejected")
# Whether this role may vacuum the tables: as their owner, or from PostgreSQL 17 on with the right MAINTAIN.
_IS_OWNER: Final = """
SELECT bool_and(pg_catalog.pg_has_role(relowner, 'USAGE')) FROM pg_catalog.pg_class WHERE oid = ANY(%s::regclass[])
"""
_MAY_MAINTAIN: Final = """
SELECT bool_and(pg_catalog.has_table_privilege(c, 'MAINTAIN')) FROM unnest(%s::regclass[]) AS t (c)
"""
_MAINTAIN_VERSION: Final = 170_000
_KEPT_PAGES: Final = (
    "the database's files: removed rows are overwritten when their space is used again, or by VACUUM FULL",
    "the database's log (WAL) with its archive, its standbys and its backups, until you remove them",
)
_NOT_VACUUMED: Final = "dead rows of the tables: this role may not VACUUM, so they remain until autovacuum"


class _Found(NamedTuple):
    """The key of a row with the recipient, and the texts beside the payload that contain it."""

    key: Any
    texts: frozenset[str]


_Change = Callable[[str, Sequence[_Found]], tuple[ForgetCount, list[bytes]]]


class SharedRemoval(OperatorPort):
    """Implements admin.RecipientRemoval."""

    def count(self, recipient: Recipient, *, on_searched: OnSearched | None = None) -> ForgetResult:
        return self._search(recipient, self._count, on_searched, 0)[0]

    def forget(self, recipient: Recipient, *, now: float, on_searched: OnSearched | None = None) -> ForgetResult:
        total, ids, searched = ForgetCount(), frozenset[bytes](), 0

        def change(table: str, found: Sequence[_Found]) -> tuple[ForgetCount, list[bytes]]:
            with self._change() as run:
                return _remove(run, table, found, now)

        for _ in range(MAX_SHARED_SEARCHES):
            result, searched = self._search(recipient, change, on_searched, searched)
            total, ids = total + result.count, ids | result.pending_ids
            if not result.remains:
                return ForgetResult(count=total, pending_ids=ids)
        return ForgetResult(
            count=total, pending_ids=ids, remains=("rows that other processes change: run the command again",)
        )

    def _search(
        self, recipient: Recipient, change: _Change, on_searched: OnSearched | None, searched: int
    ) -> tuple[ForgetResult, int]:
        """Search all tables once. `remains` is not empty if rows were found: others may have come meanwhile."""
        total, ids, found_any = ForgetCount(), set[bytes](), False
        for table, rows in self._pages():
            found = [one for row in rows if (one := _found(table, row, recipient)) is not None]
            if found:
                found_any = True
                count, pending = change(table, found)
                total += count
                ids.update(pending[: MAX_FORGOTTEN_IDS - len(ids)])
            searched += len(rows)
            if on_searched is not None:
                on_searched(searched)
        return ForgetResult(
            count=total, pending_ids=frozenset(ids), remains=("found",) if found_any else ()
        ), searched

    def _pages(self) -> Iterator[tuple[str, list[SpoolRow]]]:
        """The rows of the tables, page by page, each with its key first."""
        searches: dict[str, tuple[str, object]] = {
            "delivery": (_DELIVERIES, -(2**63)), "record": (_RECORDS, b""), "rejected": (_LINES, 0),
        }  # fmt: skip
        for table, (statement, first) in searches.items():
            after = first
            while rows := self._rows(statement, (after,)):
                after = rows[-1][0]
                yield table, rows

    def _count(self, table: str, found: Sequence[_Found]) -> tuple[ForgetCount, list[bytes]]:
        if table == "delivery":
            states: dict[int, int] = dict(self._rows(_STATES, ([one.key for one in found],)))
            return ForgetCount(pending=states.get(State.PENDING, 0), dead=states.get(State.DEAD, 0)), []
        return ForgetCount(records=len(found)) if table == "record" else ForgetCount(lines=len(found)), []

    def overwrite(self) -> tuple[str, ...]:
        """PostgreSQL overwrites nothing. VACUUM at least gives the space of the rows free, where this role may."""
        connection = self._connection.connect()
        tables = [f"{self._connection.schema}.{name}" for name in _SEARCHED_TABLES]
        with self._connection.mapped_errors():
            may = connection.execute(_IS_OWNER, (tables,)).fetchone() == (True,)
            if not may and connection.info.server_version >= _MAINTAIN_VERSION:
                may = connection.execute(_MAY_MAINTAIN, (tables,)).fetchone() == (True,)
            if may:
                for name in _SEARCHED_TABLES:
                    connection.execute(self._connection.sql(f"VACUUM spool.{name}"))
        return _KEPT_PAGES if may else (_NOT_VACUUMED, *_KEPT_PAGES)


def _found(table: str, row: SpoolRow, recipient: Recipient) -> _Found | None:
    key, body, *values = row
    names = ("source", "reason") if table == "rejected" else tuple(_TEXTS)
    texts = frozenset(name for name, value in zip(names, values, strict=True) if recipient.is_in(value))
    return _Found(key, texts) if texts or recipient.is_in(body) else None


def _remove(run: Run, table: str, found: Sequence[_Found], now: float) -> tuple[ForgetCount, list[bytes]]:
    if table == "rejected":
        return ForgetCount(lines=run(_DELETE_LINES, ([one.key for one in found],)).rowcount), []
    if table == "record":
        changed = sum(_clear_record(run, one) for one in found)
        return ForgetCount(records=changed), []
    locked = run(_LOCK, ([one.key for one in found],)).fetchall()
    pending = [row for row in locked if row[1] == State.PENDING]
    seqs = {row[0] for row in locked}
    cleared = {
        name: [one.key for one in found if name in one.texts] for name in ("request_id", "source", "execution_id")
    }
    run(_END, {"seqs": sorted(seqs), "now": now, **cleared})
    if pending:
        run(_MARK, (now, sorted({webhook for _, _, webhook, _ in pending})))
    count_change(run, "dead", len(pending))
    count_change(run, "records", len(seqs))
    ids = [bytes(identity) for _, _, _, identity in pending]
    return ForgetCount(pending=len(pending), dead=len(seqs) - len(pending)), ids


def _clear_record(run: Run, one: _Found) -> int:
    changes = ", ".join(f"{name} = {_TEXTS[name]}" for name in sorted(one.texts))
    return run(f"UPDATE spool.record SET {changes} WHERE id = %s", (one.key,)).rowcount
