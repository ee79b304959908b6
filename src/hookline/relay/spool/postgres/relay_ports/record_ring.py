"""Removes records, dead letters, rejected lines and positions of a shared spool whose retention is over.

Records are in a ring of partitions. When the current partition has its share of the largest number of records, the
next empty one is begun. Records above the largest number go by whole partitions, which are truncated: to delete them
one by one would cost as much as to store them, and would leave them on the disk while another session holds a
snapshot. A number that is small enough for one call, and records whose time is over, are deleted one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from hookline.errors import SpoolStalled
from hookline.relay.sources.checkpoints import MAX_CHECKPOINTS
from hookline.relay.spool.postgres.spool_connection import Conflict, SpoolConnection, SpoolRow
from hookline.relay.spool.postgres.spool_tables import RECORD_PARTITIONS
from hookline.relay.spool.postgres.transaction_settings import settings_step
from hookline.relay.spool.spool_values import Retention

MIN_RECORDS_PER_PARTITION: Final = 10_000
# Another session may read an old partition. Nobody waits behind the cleanup for longer than this.
LOCK_PATIENCE_MS: Final = 100
# A call whose answer was lost is repeated at the latest when the database is back.
REMEMBERED_BATCH_SECONDS: Final = 600

_OWNED: Final = "SELECT slot FROM spool.slot WHERE slot = 0 AND epoch = %(epoch)s AND process = %(token)s FOR SHARE"
_REMOVE_OLD: Final = """
WITH old AS MATERIALIZED (
  SELECT period, id FROM spool.record WHERE settled < %(horizon)s ORDER BY settled LIMIT %(limit)s
), gone AS (DELETE FROM spool.record r USING old WHERE r.period = old.period AND r.id = old.id RETURNING 1),
counts AS (SELECT count(*) AS gone FROM gone), counted AS (
  INSERT INTO spool.tally_change (name, count) SELECT 'records', -gone FROM counts WHERE gone > 0
)
SELECT gone FROM counts
"""
_COUNTED: Final = """
SELECT coalesce((SELECT sum(count) FROM (
    SELECT count FROM spool.tally WHERE name = %(name)s
    UNION ALL SELECT count FROM spool.tally_change
    WHERE name = %(name)s AND n > (SELECT folded FROM spool.meta)) c), 0)::bigint
"""
_REMOVE_LETTERS: Final = """
WITH old AS MATERIALIZED (
  SELECT d.seq FROM spool.webhook w CROSS JOIN LATERAL (
    SELECT l.seq FROM spool.delivery l WHERE l.state = 2 AND l.webhook = w.n AND l.settled < %(horizon)s
    ORDER BY l.settled LIMIT %(limit)s) d
  LIMIT %(limit)s
), gone AS (DELETE FROM spool.delivery d USING old WHERE d.seq = old.seq AND d.state = 2 RETURNING 1)
SELECT count(*) FROM gone
"""
_REMOVE_LINES: Final = """
WITH old AS MATERIALIZED (
  SELECT n FROM spool.rejected WHERE NOT replayed AND at < %(horizon)s ORDER BY at LIMIT %(limit)s
), gone AS (DELETE FROM spool.rejected r USING old WHERE r.n = old.n AND NOT r.replayed RETURNING 1)
SELECT count(*) FROM gone
"""
_REMOVE_POSITIONS: Final = f"""
DELETE FROM spool.position WHERE (SELECT count(*) FROM spool.position) > {MAX_CHECKPOINTS}
  AND at <= (SELECT at FROM spool.position ORDER BY at DESC LIMIT 1 OFFSET {MAX_CHECKPOINTS})
"""
_REMOVE_BATCHES: Final = f"""
DELETE FROM spool.stored_batch WHERE at < now() - interval '{REMEMBERED_BATCH_SECONDS} seconds'
"""
_REMOVE_WORKS: Final = "DELETE FROM spool.work WHERE at < %(horizon)s"
_PATIENCE: Final = f"SELECT set_config('lock_timeout', '{LOCK_PATIENCE_MS}ms', true)"
_LOCK_CHANGES: Final = "LOCK TABLE spool.tally_change IN SHARE ROW EXCLUSIVE MODE"
# While the lock is held, no row with an `n` up to the last one is on its way.
_FOLD: Final = """
WITH gone AS (DELETE FROM spool.tally_change WHERE n > (SELECT folded FROM spool.meta) RETURNING n, name, count),
folded AS (UPDATE spool.meta SET folded = greatest(folded, (SELECT max(n) FROM gone)))
INSERT INTO spool.tally AS t (name, count) SELECT name, sum(count) FROM gone GROUP BY name
ON CONFLICT (name) DO UPDATE SET count = t.count + EXCLUDED.count
"""
_PERIODS: Final = "SELECT period, delivered FROM spool.record_period ORDER BY begun, period"
_ANY_RECORD: Final = "SELECT 1 FROM spool.record WHERE period = %s LIMIT 1"
_BEGIN_PERIOD: Final = """
INSERT INTO spool.record_period (period, begun, delivered)
VALUES (%(period)s, extract(epoch FROM clock_timestamp()), %(delivered)s)
"""
_END_PERIOD: Final = "DELETE FROM spool.record_period WHERE period = %(period)s RETURNING period"
_COUNT_DROPPED: Final = """
INSERT INTO spool.tally_change (name, count)
SELECT 'records', -count(*) FROM spool.record WHERE period = %(period)s HAVING count(*) > 0
"""


class _NotOwnerError(Exception):
    """Another process cleans up, or has done this step."""


class RecordRing:
    """The cleanup of one process, while it owns slot 0."""

    def __init__(self, connection: SpoolConnection) -> None:
        self._connection = connection

    def clean_up(self, *, now: float, keep: Retention, limit: int, epoch: int, token: object) -> bool:
        """As MaintenanceSpool.clean_up, but of records above the largest number, a whole partition may go.

        `epoch` is that of slot 0, and `token` the token of this process.
        """
        settings = settings_step(self._connection)
        old = {"horizon": now - keep.seconds, "limit": limit}
        try:
            (removed,), (letters,), (lines,), _, _, _, (records,), (delivered,) = self._connection.run(
                (_REMOVE_OLD, old), (_REMOVE_LETTERS, old), (_REMOVE_LINES, old), (_REMOVE_POSITIONS, ()),
                (_REMOVE_BATCHES, ()), (_REMOVE_WORKS, old), (_COUNTED, {"name": "records"}),
                (_COUNTED, {"name": "delivered"}),
                guards=(settings, (_OWNED, {"epoch": epoch, "token": token})), check=_require_row,
            )  # fmt: skip
        except _NotOwnerError:
            return False
        share = max(MIN_RECORDS_PER_PARTITION, keep.records // (RECORD_PARTITIONS - 1))
        surplus = self._remove_surplus(records[0] - keep.records, limit - removed[0], share)
        self._turn(delivered[0], share)
        self._fold()
        return limit in (removed[0] + surplus, letters[0], lines[0])

    def _remove_surplus(self, surplus: int, room: int, share: int) -> int:
        """Remove records above the largest number. Returns how many of the `room` it used: all, if more may remain.

        A partition goes as a whole if that removes at most `share` more than the surplus.
        """
        if surplus <= 0 or room <= 0:
            return 0
        if surplus > room and len(periods := self._connection.query(_PERIODS)) > 1:
            (oldest, begun), (_, ended), *_ = periods
            if ended - begun <= surplus + share and self._drop(oldest):
                return room
        settings = settings_step(self._connection)
        values = {"horizon": math.inf, "limit": min(surplus, room)}
        removed: int = self._connection.run(settings, (_REMOVE_OLD, values))[1][0][0]
        return removed

    def _drop(self, period: int) -> bool:
        """Remove all records of a partition. False: another session reads it now."""
        partition = f"spool.record_{period:02}"
        one = {"period": period}
        try:
            self._connection.run(
                (_COUNT_DROPPED, one), (f"TRUNCATE {partition}", ()),
                guards=((_PATIENCE, ()), (f"LOCK TABLE {partition} IN SHARE MODE", ()), (_END_PERIOD, one)),
                check=_require_row,
            )  # fmt: skip
        except (SpoolStalled, _NotOwnerError):
            return False
        return True

    def _turn(self, delivered: int, share: int) -> None:
        """Begin the next partition when the current one has its share, and end an old one that is empty."""
        periods = self._connection.query(_PERIODS)
        (oldest, _), (_, before) = periods[0], periods[-1]
        if len(periods) > 1 and not self._connection.query(_ANY_RECORD, (oldest,)):
            self._drop(oldest)
        free = [period for period in range(RECORD_PARTITIONS) if period not in {n for n, _ in periods}]
        if delivered - before >= share and free:
            with suppress(Conflict):  # another process began it
                self._connection.run((_BEGIN_PERIOD, {"period": free[0], "delivered": delivered}))

    def _fold(self) -> None:
        with suppress(SpoolStalled):  # a transaction of another session takes long; the next call folds
            self._connection.run((_PATIENCE, ()), (_LOCK_CHANGES, ()), (_FOLD, ()))


def _require_row(rows: Sequence[list[SpoolRow]]) -> None:
    if not rows[-1]:
        raise _NotOwnerError
