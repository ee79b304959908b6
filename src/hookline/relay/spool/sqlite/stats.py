"""A spool at one moment, for `status` and for metrics: read beside whatever works on it, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from hookline.model import Address
from hookline.observe.snapshot import Checkpoint, SpoolStatus, WebhookStatus
from hookline.relay.sources.source import Position
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.spool import EndpointState
from hookline.relay.spool.sqlite import disk_reserve
from hookline.relay.spool.sqlite.database import DATABASE_FILE, damage_named, open_existing
from hookline.relay.spool.sqlite.dead_letter_query import KEPT_LINES
from hookline.relay.spool.sqlite.enqueue import read_tally
from hookline.relay.spool.sqlite.schema import read_positions
from hookline.relay.spool.sqlite.webhook_status import WebhookClock, read_states

MAX_CHECKPOINT_ROWS: Final = 1000
# How many rows are looked at, in all and for one webhook, to find what is oldest.
_ROWS_LOOKED_AT: Final = 20_000
_ROWS_OF_ONE: Final = 200
# Both counts are answered from a partial index alone; a GROUP BY over all webhooks would read the rows.
_WEBHOOKS: Final = """
SELECT n, organization || '/' || sandbox, idle, held, disabled, paused, stopped, not_before,
  (SELECT count(*) FROM delivery d WHERE d.state = 0 AND d.webhook = w.n),
  (SELECT count(*) FROM delivery d WHERE d.state = 2 AND d.webhook = w.n)
FROM webhook w ORDER BY 2
"""
# In the order of `seq` the first one is the oldest, but for what was replayed: that keeps its place, and is as old as
# its replay. So some of the first are looked at, and the first of those that were never attempted.
_OLDEST: Final = """
SELECT min(
  (SELECT min(since) FROM (SELECT since FROM delivery WHERE state = 0 AND webhook = :n ORDER BY seq LIMIT :limit)),
  coalesce((SELECT since FROM delivery WHERE state = 0 AND webhook = :n AND due IS NULL ORDER BY seq LIMIT 1), 9e999))
"""
_CHECKPOINTS: Final = "SELECT name, line, offset, at FROM position ORDER BY at DESC, name LIMIT ?"
_OLDEST_RECORD: Final = "SELECT settled FROM delivery WHERE state IN (1, 3) ORDER BY settled LIMIT 1"


def survey(directory: Path, *, now: float) -> SpoolStatus:
    """Everything at the moment `now` (Unix seconds). Takes some 0.2 s when a million deliveries are pending.

    Raises SpoolUnusable when there is no spool, or one that cannot be read.
    """
    path = directory / DATABASE_FILE
    with closing(open_existing(directory, mode="ro")) as connection, damage_named(path):
        connection.execute("PRAGMA cache_size = -4096")  # what is counted is read once
        connection.execute("BEGIN")
        tally = read_tally(connection)
        settled = connection.execute(_OLDEST_RECORD).fetchone()
        return SpoolStatus(
            at=now,
            tally={what: n for what, n in tally.items() if what != "records"},
            webhooks=list(_webhooks(connection, now)),
            checkpoints=[Checkpoint(name=name, line=line, offset=offset, at=at)
                         for name, line, offset, at in connection.execute(_CHECKPOINTS, (MAX_CHECKPOINT_ROWS,))],
            lines=connection.execute(KEPT_LINES).fetchone()[0],
            records=tally.get("records", 0),
            oldest_record=None if settled is None else max(0.0, now - settled[0]),
            sizes=_sizes(directory),
        )  # fmt: skip


def _webhooks(connection: sqlite3.Connection, now: float) -> Iterator[WebhookStatus]:
    rows = connection.execute(_WEBHOOKS).fetchall()
    waiting = sum(1 for row in rows if row[8])
    limit = max(1, min(_ROWS_OF_ONE, _ROWS_LOOKED_AT // max(1, waiting)))
    for n, webhook, idle, held, disabled, paused, stopped, not_before, pending, dead in rows:
        oldest = None
        if pending:
            (since,) = connection.execute(_OLDEST, {"n": n, "limit": limit}).fetchone()
            oldest = max(0.0, WebhookClock(idle, held).at(now) - since)
        yield WebhookStatus(
            webhook=webhook, pending=pending, oldest=oldest, dead=dead, disabled=bool(disabled), paused=paused,
            gone=stopped, not_before=not_before,
        )  # fmt: skip


def _sizes(directory: Path) -> dict[str, int]:
    files = {"database": DATABASE_FILE, "log": f"{DATABASE_FILE}-wal", "reserve": disk_reserve.RESERVE_FILE}
    return {part: _size(directory / name) for part, name in files.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it comes and goes beside us
        return 0


# What other commands ask of a spool without holding it: positions, known deliveries, and what waits for whom.
# Each count is answered from a partial index alone, so that a long backlog takes no longer than its index.
_BACKLOGS = """
SELECT organization, sandbox,
  (SELECT count(*) FROM delivery d WHERE d.state = 0 AND d.webhook = w.n),
  (SELECT count(*) FROM delivery d WHERE d.state = 2 AND d.webhook = w.n)
FROM webhook w
"""


class SpoolLookup:
    """A spool that may not be there yet: then nothing is known."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def positions(self) -> list[Position]:
        """The checkpoints of all sources. Raises SpoolUnusable when there is a spool that cannot be read."""
        if not self._exists():
            return []
        with self._opened() as connection:
            return read_positions(connection)

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        """The webhooks that have something in the spool. None when there is no spool."""
        if not self._exists():
            return None
        with self._opened() as connection:
            return {
                Address(organization, sandbox): Backlog(pending, dead)
                for organization, sandbox, pending, dead in connection.execute(_BACKLOGS)
            }

    def standing(self) -> Mapping[Address, EndpointState]:
        """How each webhook stands that the spool has heard of. Raises like `positions`."""
        if not self._exists():
            return {}
        with self._opened() as connection:
            return read_states(connection)

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        """Those of the ids that are pending, dead, or were delivered after that Unix time."""
        if not ids or not self._exists():
            return set()
        with self._opened() as connection:
            return {
                identity
                for identity in ids
                if connection.execute(
                    "SELECT 1 FROM delivery WHERE id = ? AND (state IN (0, 2) OR settled > ?)",
                    (identity, delivered_after),
                ).fetchone()
            }

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with (
            closing(open_existing(self._directory, mode="ro")) as connection,
            damage_named(self._directory / DATABASE_FILE),
        ):
            yield connection

    def _exists(self) -> bool:
        return (self._directory / DATABASE_FILE).exists()
