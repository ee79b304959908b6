"""The processes of a shared spool: the slots that each owns, and the status that each publishes for others."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import msgspec

from hookline.errors import SpoolUnusable
from hookline.observe.snapshot import ProcessStatus, RelayStatus, SpoolProcesses
from hookline.relay.spool.postgres.operator_ports.operator_port import snapshot
from hookline.relay.spool.postgres.spool_connection import SpoolConnection

_PROCESSES: Final = """
SELECT p.token, p.kind, p.name, p.host, p.pid, p.started,
  extract(epoch FROM p.expires - clock_timestamp())::float8,
  array(SELECT s.slot FROM spool.slot s WHERE s.process = p.token ORDER BY s.slot),
  EXISTS (SELECT FROM spool.reader r WHERE r.process = p.token)
FROM spool.process p ORDER BY p.kind DESC, p.name, p.host, p.pid, p.started
"""
_UNOWNED: Final = """
SELECT s.slot FROM spool.slot s WHERE NOT EXISTS (SELECT FROM spool.process p WHERE p.token = s.process)
ORDER BY s.slot
"""
_STATUSES: Final = "SELECT token, status FROM spool.process_status"
_PUBLISH: Final = """
INSERT INTO spool.process_status AS s (token, status) SELECT token, %s FROM spool.process WHERE token = %s
ON CONFLICT (token) DO UPDATE SET status = EXCLUDED.status
"""
# Also those of processes that ended without removing their own.
_REMOVE: Final = """
DELETE FROM spool.process_status s
WHERE s.token = %s OR NOT EXISTS (SELECT FROM spool.process p WHERE p.token = s.token)
"""
_decoder = msgspec.json.Decoder(RelayStatus)


def read_processes(connection: SpoolConnection) -> SpoolProcesses:
    """As admin.SpoolStatistics.processes."""
    try:
        with snapshot(connection) as run:
            processes, unowned = run(_PROCESSES).fetchall(), [slot for (slot,) in run(_UNOWNED)]
    except SpoolUnusable:
        return SpoolProcesses()
    statuses = _read_statuses(connection)
    return SpoolProcesses(
        processes=[
            ProcessStatus(
                kind=kind, name=name, host=host, pid=pid, started=started, lease_seconds=left, slots=slots,
                reads=reads, status=_decoded(statuses.get(token)),
            )
            for token, kind, name, host, pid, started, left, slots, reads in processes
        ],
        slots=connection.slots,
        unowned=unowned,
    )  # fmt: skip


def _read_statuses(connection: SpoolConnection) -> dict[UUID, str]:
    """In a transaction of its own, because a standby has no unlogged tables."""
    try:
        return dict(connection.query(_STATUSES))
    except SpoolUnusable:
        return {}


def _decoded(status: str | None) -> RelayStatus | None:
    if status is None:
        return None
    try:
        return _decoder.decode(status)
    except msgspec.DecodeError:  # of another version
        return None


class SharedStatusPublisher:
    """Implements spool.StatusPublisher.

    `token` returns the token of the process, which changes when its lease was over. The row of a status is unlogged.
    """

    def __init__(self, connection: SpoolConnection, token: Callable[[], UUID | None]) -> None:
        self._connection = connection
        self._token = token
        self._published: UUID | None = None
        self._writing = threading.Lock()
        self._withdrawn = False
        weakref.finalize(self, connection.close)

    def publish(self, status: RelayStatus) -> None:
        with self._writing:
            token = self._token()
            if self._withdrawn or token is None:
                return
            with suppress(SpoolUnusable):  # the lease of a process that cannot write is over soon
                if token != self._published:
                    self._connection.query(_REMOVE, (self._published,))
                    self._published = token
                self._connection.query(_PUBLISH, (msgspec.json.encode(status).decode(), token))

    def withdraw(self) -> None:
        with self._writing:
            self._withdrawn = True
            with suppress(SpoolUnusable):
                if self._published is not None:
                    self._connection.query(_REMOVE, (self._published,))
            self._connection.close()
