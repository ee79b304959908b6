"""`hookline spool migrate`: changes the format of a shared spool.

Versions n and n - 1 run side by side. A process records the newest format that it knows, and works in the format that
the spool has when it joins. The migration waits until the last process that knows only the older format has ended. It
ends all leases, so the others join again, and read the new format then.

A migration holds every lock that ingest and settlements take first, so none is in progress. Statements that a process
sends after it without a new lease are those of the older format, so a migration must leave the columns that ingest
writes, and give new ones a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.relay.spool.postgres.lease_statements import LOCK_JOINS
from hookline.relay.spool.postgres.spool_connection import Connection, SpoolConnection
from hookline.relay.spool.postgres.transfer.exclusive_access import END_ALL

# By format: the statements that change a spool of this format to the next one, in one transaction.
SHARED_SPOOL_MIGRATIONS: Final[dict[int, Sequence[str]]] = {}

_OLDER: Final = """
SELECT kind, host, pid, format FROM spool.process WHERE expires > clock_timestamp() AND format < %s
ORDER BY format, started LIMIT 1
"""
_LOCK_INGEST: Final = "SELECT 1 FROM spool.ingest_lock ORDER BY slot FOR UPDATE"


def migrate_shared_spool(spool: SpoolConnection) -> tuple[int, int]:
    """As SpoolStore.migrate. The connection accepts a spool of any older format."""
    with spool.transaction() as connection:
        connection.execute(spool.sql(LOCK_JOINS))
        before = int(connection.execute(spool.sql("SELECT format FROM spool.meta")).fetchall()[0][0])
        target = spool.newest_format
        if before < target:
            _require_possible(spool, connection, before, target)
            for statement in (*END_ALL, _LOCK_INGEST):
                connection.execute(spool.sql(statement))
            for number in range(before, target):
                for statement in SHARED_SPOOL_MIGRATIONS[number]:
                    connection.execute(spool.sql(statement))
            connection.execute(spool.sql("UPDATE spool.meta SET format = %s WHERE id = 1"), (target,))
    return before, target


def _require_possible(spool: SpoolConnection, connection: Connection, before: int, target: int) -> None:
    missing = [number for number in range(before, target) if number not in SHARED_SPOOL_MIGRATIONS]
    if missing:
        raise SpoolUnusable(
            f"the spool {spool.address} cannot be migrated: no migration from format {missing[0]} exists",
            hint="migrate it with the version before this one first",
        )
    if found := connection.execute(spool.sql(_OLDER), (target,)).fetchone():
        kind, host, pid, known = found
        raise SpoolUnusable(
            f"the spool {spool.address} is in use by an older hookline: {kind}, process {pid} on {host}, knows "
            f"format {known}, not {target}",
            hint="stop or upgrade every process of the older version first; the lease of a killed one ends after "
            f"{spool.lease_seconds:g} s",
        )
