"""A spool of an older format, brought to this one when a relay opens it, after a copy was made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hookline.errors import SpoolUnusable
from hookline.relay.identity import request_prefix
from hookline.relay.spool.positions import migrate_positions_from_1
from hookline.relay.spool.schema import FORMAT, INDEXES, WEBHOOK


def keep_copy(connection: sqlite3.Connection, path: Path, written_in: int) -> Path:
    """Put a copy of the whole database beside it, for its owner only, and return its path.

    A copy that an interrupted migration has left is made anew. Raises SpoolUnusable when there is no room for it.
    """
    copy = path.with_name(f"{path.name}.format-{written_in}")
    unfinished = copy.with_name(f"{copy.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        unfinished.rename(copy)
    except (OSError, sqlite3.DatabaseError) as failed:
        unfinished.unlink(missing_ok=True)
        raise SpoolUnusable(
            f"the spool {path} is of an older format, and a copy of it cannot be kept beside it: {failed}",
            hint="nothing was changed; make its directory writable, with room for a second file of its size",
        ) from failed
    return copy


def migrate(connection: sqlite3.Connection) -> None:
    """Format 1 to 2, to be called inside of a transaction: webhooks get a clock that stands still with them, ids
    begin with their request, and pending deliveries have one index."""
    connection.execute("ALTER TABLE webhook RENAME TO webhook_1")
    connection.execute(WEBHOOK)
    connection.execute(
        "INSERT INTO webhook (n, organization, sandbox, disabled, held) "
        "SELECT n, organization, sandbox, held IS NOT NULL, held FROM webhook_1"
    )
    connection.execute("DROP TABLE webhook_1")
    migrate_positions_from_1(connection)
    for column in ("detail", "history"):
        connection.execute(f"ALTER TABLE delivery ADD COLUMN {column} TEXT")
    connection.create_function("hookline_id", 2, _with_prefix, deterministic=True)
    connection.execute("UPDATE delivery SET id = hookline_id(request_id, id)")
    for index in ("fresh", "due", "order", "dead", "done"):
        connection.execute(f"DROP INDEX IF EXISTS delivery_{index}")
    for statement in INDEXES.split(";"):
        connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO tally SELECT 'records', count(*) FROM delivery WHERE state IN (1, 3)")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _with_prefix(request_id: str, identity: bytes) -> bytes:
    return request_prefix(request_id) + identity[:12]
