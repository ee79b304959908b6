"""The ring of minutes (relay/spool/activity.py) in a shared spool: each process adds the rows of its webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from hookline.model import Address
from hookline.relay.spool.activity import MAX_MINUTES_AHEAD, MinuteActivity, combined, oldest_minute
from hookline.relay.spool.postgres.spool_connection import SpoolConnection, SpoolRow

_COLUMNS: Final = (
    "minute, organization, sandbox, accepted, failed, median_seconds, p99_seconds, pending, busy_seconds"
)
READ_ACTIVITY: Final = f"""
SELECT {_COLUMNS} FROM spool.activity WHERE minute >= %s ORDER BY minute, organization = '', organization, sandbox
"""
_READ_MINUTE: Final = f"SELECT {_COLUMNS} FROM spool.activity WHERE minute = %s"
# The row of the rest is locked first, so that two processes do not both fill the last room of the minute.
_LOCK: Final = f"""
INSERT INTO spool.activity ({_COLUMNS}) VALUES (%s, '', '', 0, 0, NULL, NULL, 0, 0)
ON CONFLICT (minute, organization, sandbox) DO UPDATE SET minute = excluded.minute
"""
_REMOVE: Final = "DELETE FROM spool.activity WHERE minute < %s OR minute > %s OR minute = %s"
_WRITE: Final = f"""
INSERT INTO spool.activity ({_COLUMNS}) SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[],
  %s::bigint[], %s::double precision[], %s::double precision[], %s::bigint[], %s::double precision[])
"""
_REST: Final = ("", "")


def parse_activity(rows: Iterable[SpoolRow]) -> list[MinuteActivity]:
    """The rows of READ_ACTIVITY. A sum of the rest that is empty is left out."""
    found = [
        MinuteActivity(minute, None if (organization, sandbox) == _REST else Address(organization, sandbox), *rest)
        for minute, organization, sandbox, *rest in rows
    ]
    return [one for one in found if one.address is not None or one.attempts or one.pending]


def write_minute(spool: SpoolConnection, rows: Sequence[MinuteActivity]) -> None:
    """Add rows of one minute, and remove the minutes for which the ring has no room."""
    minute, sql = rows[0].minute, spool.sql
    with spool.limited_transaction() as connection:
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute(sql(_LOCK), (minute,))
        after = combined(parse_activity(connection.execute(sql(_READ_MINUTE), (minute,))), rows)
        after.sort(key=lambda one: one.address is not None)
        if after[0].address is not None:  # its row is the lock of the next process
            after.insert(0, MinuteActivity(minute, None, 0, 0, None, None, 0))
        connection.execute(sql(_REMOVE), (oldest_minute(minute), minute + MAX_MINUTES_AHEAD, minute))
        columns = zip(*(_row(one) for one in after), strict=True)
        connection.execute(sql(_WRITE), [list(column) for column in columns])


def _row(one: MinuteActivity) -> SpoolRow:
    return (
        one.minute, *(one.address or _REST), one.accepted, one.failed, one.median_seconds, one.p99_seconds,
        one.pending, one.busy_seconds,
    )  # fmt: skip
