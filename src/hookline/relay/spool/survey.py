"""A spool at one moment, for `status` and for metrics: read beside whatever works on it, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from hookline.observe.report import Checkpoint, SpoolFacts, WebhookFacts
from hookline.relay.spool import reserve
from hookline.relay.spool.choosing import KEPT_LINES
from hookline.relay.spool.database import FILE, damage_named, open_existing
from hookline.relay.spool.standing import Clock
from hookline.relay.spool.storing import read_tally

MOST_CHECKPOINTS: Final = 1000
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


def survey(directory: Path, *, now: float) -> SpoolFacts:
    """Everything at the moment `now` (Unix seconds). Takes some 0.2 s when a million deliveries are pending.

    Raises SpoolUnusable when there is no spool, or one that cannot be read.
    """
    path = directory / FILE
    with closing(open_existing(directory, mode="ro")) as connection, damage_named(path):
        connection.execute("PRAGMA cache_size = -4096")  # what is counted is read once
        connection.execute("BEGIN")
        tally = read_tally(connection)
        settled = connection.execute(_OLDEST_RECORD).fetchone()
        return SpoolFacts(
            at=now,
            tally={what: n for what, n in tally.items() if what != "records"},
            webhooks=list(_webhooks(connection, now)),
            checkpoints=[Checkpoint(name=name, line=line, offset=offset, at=at)
                         for name, line, offset, at in connection.execute(_CHECKPOINTS, (MOST_CHECKPOINTS,))],
            lines=connection.execute(KEPT_LINES).fetchone()[0],
            records=tally.get("records", 0),
            oldest_record=None if settled is None else max(0.0, now - settled[0]),
            sizes=_sizes(directory),
        )  # fmt: skip


def _webhooks(connection: sqlite3.Connection, now: float) -> Iterator[WebhookFacts]:
    rows = connection.execute(_WEBHOOKS).fetchall()
    waiting = sum(1 for row in rows if row[8])
    limit = max(1, min(_ROWS_OF_ONE, _ROWS_LOOKED_AT // max(1, waiting)))
    for n, webhook, idle, held, disabled, paused, stopped, not_before, pending, dead in rows:
        oldest = None
        if pending:
            (since,) = connection.execute(_OLDEST, {"n": n, "limit": limit}).fetchone()
            oldest = max(0.0, Clock(idle, held).at(now) - since)
        yield WebhookFacts(
            webhook=webhook, pending=pending, oldest=oldest, dead=dead, disabled=bool(disabled), paused=paused,
            stopped=stopped, not_before=not_before,
        )  # fmt: skip


def _sizes(directory: Path) -> dict[str, int]:
    files = {"database": FILE, "log": f"{FILE}-wal", "reserve": reserve.FILE}
    return {part: _size(directory / name) for part, name in files.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it comes and goes beside us
        return 0
