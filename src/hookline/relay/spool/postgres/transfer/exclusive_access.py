"""Keeps relays away from a shared spool while `spool move` empties it.

The move is a process of the spool with a lease, but without slots. A process joins only while no move has a lease,
and a move begins only while no process has one. Both lock the row of `meta` first, so they see each other.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hookline.errors import SpoolStalled, SpoolUnusable
from hookline.relay.spool.postgres.lease_statements import JOIN, LOCK_JOINS
from hookline.relay.spool.postgres.spool_connection import Connection, SpoolConnection

MOVE_KIND: Final = "move"
# The server ends a move that has stopped inside a transaction, so that a relay can join again.
MAX_MOVE_IDLE_SECONDS: Final = 60

_LIVE: Final = """
SELECT kind, host, pid FROM spool.process WHERE expires > clock_timestamp() ORDER BY started, token LIMIT 1
"""
# Ends all processes. A dead one takes no slot. Freeing the slots waits for the transactions of former owners.
END_ALL: Final = (
    "UPDATE spool.process SET expires = '-infinity'",
    "UPDATE spool.slot SET process = NULL, epoch = epoch + 1, since = clock_timestamp() WHERE process IS NOT NULL",
    "UPDATE spool.reader SET process = NULL, epoch = epoch + 1 WHERE process IS NOT NULL",
    "DELETE FROM spool.process",
)
_RENEW: Final = """
UPDATE spool.process SET expires = clock_timestamp() + make_interval(secs => %s)
WHERE token = %s AND expires > clock_timestamp()
"""


def being_moved(spool: SpoolConnection) -> SpoolUnusable:
    """The error of a process that cannot join."""
    found = spool.query("SELECT host, pid FROM spool.process WHERE kind = 'move' ORDER BY joined DESC LIMIT 1")
    by = f" by process {found[0][1]} on {found[0][0]}" if found else ""
    return SpoolUnusable(
        f"the spool {spool.address} is being moved{by}",
        hint="wait for its end, or name the spool that it is moved to",
    )


class ExclusiveAccess:
    """The lease of a move, from its creation to `release`. Raises SpoolUnusable while any process uses the spool."""

    def __init__(self, spool: SpoolConnection, *, now: float) -> None:
        self._spool = spool
        self._token = uuid.uuid4()
        spool.connect()
        with spool.transaction() as connection:
            connection.execute(spool.sql(LOCK_JOINS))
            if found := connection.execute(spool.sql(_LIVE)).fetchone():
                kind, host, pid = found
                raise SpoolUnusable(
                    f"the spool {spool.address} is in use: hookline {kind}, process {pid} on {host}",
                    hint="stop every relay of this spool first; the lease of a killed one ends after "
                    f"{spool.lease_seconds:g} s",
                )
            for statement in END_ALL:
                connection.execute(spool.sql(statement))
            values = (
                self._token, MOVE_KIND, "", socket.gethostname(), os.getpid(), now, spool.newest_format,
                spool.lease_seconds,
            )  # fmt: skip
            connection.execute(spool.sql(JOIN), values)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that renews the lease. No process can join before its end. Raises SpoolStalled."""
        spool = self._spool
        with spool.transaction() as connection:
            connection.execute(
                b"SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (f"{MAX_MOVE_IDLE_SECONDS}s",)
            )
            if not connection.execute(spool.sql(_RENEW), (spool.lease_seconds, self._token)).rowcount:
                raise SpoolStalled(
                    f"the move was interrupted for so long that relays may use the spool {spool.address} again",
                    hint="run the same command again",
                )
            yield connection

    def release(self) -> None:
        self._spool.query("DELETE FROM spool.process WHERE token = %s", (self._token,))
