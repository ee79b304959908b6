"""The status of a spool at one moment, and lookups of other commands. Reads beside a running relay."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.observe.snapshot import AgeGroup, Checkpoint, SpoolStatus, WebhookStatus
from hookline.paths import path_exists
from hookline.relay.sources.source import Position
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.admin import MAX_CHECKPOINT_ROWS, Backlog
from hookline.relay.spool.backlog_ages import age_groups, age_ranges
from hookline.relay.spool.spool_values import EndpointState
from hookline.relay.spool.sqlite.database import DATABASE_FILE, named_rows, reading
from hookline.relay.spool.sqlite.dead_letter_query import COUNT_DEAD_LINES
from hookline.relay.spool.sqlite.disk_reserve import RESERVE_FILE
from hookline.relay.spool.sqlite.enqueue import read_tally
from hookline.relay.spool.sqlite.progress.activity_ring import read_activity
from hookline.relay.spool.sqlite.progress.work_starts import read_crash_statuses
from hookline.relay.spool.sqlite.schema import read_positions
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess
from hookline.relay.spool.sqlite.webhook_status import WebhookClock, read_states

# A partial index answers each count, so a long backlog costs no more than its index. GROUP BY would read the rows.
_COUNTS: Final = """
  (SELECT count(*) FROM delivery d WHERE d.state = 0 AND d.webhook = w.n) AS pending,
  (SELECT count(*) FROM delivery d WHERE d.state = 2 AND d.webhook = w.n) AS dead
FROM webhook w"""
_BACKLOGS: Final = f"SELECT organization, sandbox, {_COUNTS}"
_WEBHOOKS: Final = f"""
SELECT n, organization || '/' || sandbox AS webhook, held_seconds, held_since, disabled, paused, gone_reason,
  not_before, (
    SELECT m.organization || '/' || m.sandbox FROM followed_move m
    WHERE m.new_organization = w.organization AND m.new_sandbox = w.sandbox AND NOT EXISTS (
      SELECT 1 FROM followed_move l WHERE l.n > m.n AND l.organization = w.organization AND l.sandbox = w.sandbox)
    ORDER BY m.n DESC LIMIT 1) AS moved_from, {_COUNTS} ORDER BY 2
"""
_OLDEST: Final = "SELECT min(since) FROM delivery WHERE state = 0 AND webhook = ?"
# By the index of ages: all ranges together cost as much as one count of the backlog.
_AGED: Final = """
SELECT count(*) FROM delivery WHERE state = 0 AND webhook = ? AND since > ? AND since <= ?
"""
_LAST_DUE: Final = "SELECT max(due) FROM delivery WHERE state = 0 AND webhook = ? AND due IS NOT NULL"
_CHECKPOINTS: Final = "SELECT name, line, offset, at FROM position ORDER BY at DESC, name LIMIT ?"
_OLDEST_RECORD: Final = "SELECT settled FROM delivery WHERE state IN (1, 3) ORDER BY settled LIMIT 1"
_KNOWN: Final = "SELECT 1 FROM delivery WHERE id = ? AND (state IN (0, 2) OR settled > ?)"


def read_spool_status(directory: Path, access: StorageAccess, *, now: float) -> SpoolStatus:
    """As admin.SpoolStatistics.spool_status, in one transaction."""
    with reading(directory, access) as connection:
        connection.execute("BEGIN")
        tally = read_tally(connection)
        settled = connection.execute(_OLDEST_RECORD).fetchone()
        return SpoolStatus(
            at=now,
            tally={name: count for name, count in tally.items() if name != "records"},
            webhooks=list(_webhooks(connection, now)),
            checkpoints=[Checkpoint(name=name, line=line, offset=offset, at=at)
                         for name, line, offset, at in connection.execute(_CHECKPOINTS, (MAX_CHECKPOINT_ROWS,))],
            lines=connection.execute(COUNT_DEAD_LINES).fetchone()[0],
            records=tally.get("records", 0),
            oldest_record=None if settled is None else max(0.0, now - settled[0]),
            sizes=_sizes(directory),
            crashes=read_crash_statuses(connection),
        )  # fmt: skip


def _webhooks(connection: sqlite3.Connection, now: float) -> Iterator[WebhookStatus]:
    for row in list(named_rows(connection.execute(_WEBHOOKS))):
        n, clock, oldest = row.pop("n"), WebhookClock(row.pop("held_seconds"), row.pop("held_since")), None
        ages: tuple[AgeGroup, ...] = ()
        last_due: float | None = None
        if row["pending"]:
            own_now = clock.at(now)
            (since,) = connection.execute(_OLDEST, (n,)).fetchone()
            oldest = max(0.0, own_now - since)
            ages = _ages(connection, n, row["pending"], own_now, oldest)
            (last_due,) = connection.execute(_LAST_DUE, (n,)).fetchone()
        yield WebhookStatus(oldest=oldest, ages=ages, last_due=last_due, disabled=bool(row.pop("disabled")), **row)


def _ages(
    connection: sqlite3.Connection, webhook: int, pending: int, own_now: float, oldest: float
) -> tuple[AgeGroup, ...]:
    """The pending deliveries by age. `own_now` is the time of the webhook's clock."""
    counts: dict[int, int] = {}
    before, left = -math.inf, pending
    for number, lower, _ in age_ranges(oldest):
        if not left:
            break
        found, until = left, own_now - lower
        if number:
            (found,) = connection.execute(_AGED, (webhook, before, until)).fetchone()
        counts[number], before, left = found, until, left - found
    return age_groups(counts, oldest)


def _sizes(directory: Path) -> dict[str, int]:
    sizes = {"database": 0, "log": 0, "reserve": 0}
    for part, name in zip(sizes, (DATABASE_FILE, f"{DATABASE_FILE}-wal", RESERVE_FILE), strict=True):
        with suppress(OSError):  # a running relay creates and deletes these files
            sizes[part] = (directory / name).stat().st_size
    return sizes


class SpoolLookup:
    """Implements admin.DryRunSpool and the lookups of admin.SpoolStatistics, also for a spool that does not exist."""

    def __init__(self, directory: Path, access: StorageAccess = REAL_ACCESS) -> None:
        self._directory = directory
        self._access = access

    def positions(self) -> list[Position]:
        if not self._exists():
            return []
        with reading(self._directory, self._access) as connection:
            return read_positions(connection)

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        if not self._exists():
            return None
        with reading(self._directory, self._access) as connection:
            return {
                Address(organization, sandbox): Backlog(pending, dead)
                for organization, sandbox, pending, dead in connection.execute(_BACKLOGS)
            }

    def endpoint_states(self) -> Mapping[Address, EndpointState]:
        if not self._exists():
            return {}
        with reading(self._directory, self._access) as connection:
            return read_states(connection)

    def activity(self, since_minute: int) -> list[MinuteActivity]:
        if not self._exists():
            return []
        with reading(self._directory, self._access) as connection:
            return read_activity(connection, since_minute)

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        if not ids or not self._exists():
            return set()
        with reading(self._directory, self._access) as connection:
            return {one for one in ids if connection.execute(_KNOWN, (one, delivered_after)).fetchone()}

    def _exists(self) -> bool:
        return path_exists(self._directory / DATABASE_FILE, error=SpoolUnusable)
