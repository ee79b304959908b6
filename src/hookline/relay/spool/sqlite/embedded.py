"""The embedded store: a directory with an SQLite database, and the search of `trace` in it. Only the modules of this
store open its files.

A running relay shows its status to other commands in a file of the directory. Only the relay that holds the lock
writes the file, and it removes the file at its end. After a kill the file remains, but the lock is free.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from hookline.errors import SpoolUnusable
from hookline.observe.snapshot import ProcessStatus, RelayStatus, SpoolProcesses, SpoolStatus
from hookline.private_files import replace_file
from hookline.relay.delivery_record import parse_history
from hookline.relay.ids import request_prefix
from hookline.relay.spool.admin import (
    MAX_LINES_SEARCHED,
    MAX_TRACED_DELIVERIES,
    MAX_TRACED_LINES,
    MIN_TRACE_ID_DIGITS,
    Trace,
    TracedDelivery,
    TracedLine,
)
from hookline.relay.spool.leases import SharedSpool, not_shared
from hookline.relay.spool.spool_values import State
from hookline.relay.spool.sqlite.bodies import BODY
from hookline.relay.spool.sqlite.database import (
    create_if_missing,
    migrate_directory,
    named_rows,
    reading,
    spool_exists,
)
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetterImport, SqliteDeadLetters
from hookline.relay.spool.sqlite.erasure.sqlite_removal import SqliteRemoval
from hookline.relay.spool.sqlite.lock import holder_of
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.stats import SpoolLookup, read_spool_status
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from hookline.relay.spool.sqlite.transfer.sqlite_move import SqliteMoveSource, SqliteMoveTarget
from hookline.relay.spool.sqlite.webhook_status import SqliteWebhookControl

STATUS_FILE: Final = "relay.json"
_decoder = msgspec.json.Decoder(RelayStatus)

_SELECT: Final = f"""
SELECT d.seq, d.order_key, lower(hex(d.id)) AS id, w.organization || '/' || w.sandbox AS webhook, d.channel, d.status,
  d.detail, d.request_id, d.source, d.line, d.since + w.held_seconds AS read,
  w.held_seconds = 0 AND w.held_since IS NULL AS exact, d.event_time, d.state, d.attempts, d.due, d.settled, d.reason,
  d.http, d.history, {BODY}, w.disabled, w.paused, w.not_before
FROM delivery d JOIN webhook w ON w.n = d.webhook
"""
_BY_ID: Final = f"{_SELECT} WHERE d.id BETWEEN ? AND ? ORDER BY d.seq LIMIT {MAX_TRACED_DELIVERIES}"
_BY_REQUEST: Final = (
    f"{_SELECT} WHERE d.id BETWEEN ? AND ? AND d.request_id = ? ORDER BY d.seq LIMIT {MAX_TRACED_DELIVERIES}"
)
# Executions have no index, which would cost every event: this reads all rows.
_BY_EXECUTION: Final = f"{_SELECT} WHERE d.execution_id = ? ORDER BY d.seq LIMIT {MAX_TRACED_DELIVERIES}"
_PREDECESSOR: Final = """
SELECT lower(hex(id)) FROM delivery
WHERE state = 0 AND webhook = (SELECT webhook FROM delivery WHERE seq = ?) AND order_key = ? AND seq < ?
ORDER BY seq LIMIT 1
"""
_LINES: Final = f"""
SELECT n, at, source, line, reason, data, replayed FROM
  (SELECT * FROM rejected ORDER BY n DESC LIMIT {MAX_LINES_SEARCHED})
WHERE instr(data, ?) OR instr(data, ?) LIMIT {MAX_TRACED_LINES}
"""


def trace(directory: Path, access: StorageAccess, wanted: str) -> Trace:
    """As admin.TraceSearch.trace."""
    wanted = wanted.encode("utf-8", "replace").decode()  # an argument may hold any bytes; ids in a spool are text
    with reading(directory, access) as connection:
        connection.execute("BEGIN")
        deliveries = list(_of_request(connection, wanted)) or list(_of_id(connection, wanted.lower()))
        deliveries = deliveries or list(_traced(connection, _BY_EXECUTION, wanted))
        escaped = json.dumps(wanted)[1:-1].encode()
        lines = [
            TracedLine(f"line-{n}", at, source, line, reason, data, bool(replayed))
            for n, at, source, line, reason, data, replayed in connection.execute(_LINES, (wanted.encode(), escaped))
        ]
    return Trace(deliveries, lines[::-1])


def _of_request(connection: sqlite3.Connection, request_id: str) -> Iterator[TracedDelivery]:
    prefix = request_prefix(request_id)
    return _traced(connection, _BY_REQUEST, prefix.ljust(16, b"\0"), prefix.ljust(16, b"\xff"), request_id)


def _of_id(connection: sqlite3.Connection, digits: str) -> Iterator[TracedDelivery]:
    if not MIN_TRACE_ID_DIGITS <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return iter(())
    first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    return _traced(connection, _BY_ID, first, last)


def _traced(connection: sqlite3.Connection, statement: str, *parameters: object) -> Iterator[TracedDelivery]:
    for row in list(named_rows(connection.execute(statement, parameters))):
        seq, order_key, state = row.pop("seq"), row.pop("order_key"), State(row["state"])
        waits = state is State.PENDING and order_key is not None
        earlier = connection.execute(_PREDECESSOR, (seq, order_key, seq)).fetchone() if waits else None
        converted = {
            "state": state, "exact": bool(row["exact"]), "disabled": bool(row["disabled"]),
            "history": parse_history(row["history"]), "predecessor": None if earlier is None else earlier[0],
        }  # fmt: skip
        yield TracedDelivery(**row | converted)


class StatusFile:
    """Implements spool.StatusPublisher. The relay that creates it holds the lock of the spool."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATUS_FILE
        for draft in directory.glob(f".{STATUS_FILE}.*"):  # a relay was killed while it wrote
            with suppress(OSError):
                draft.unlink()
        self._writing = threading.Lock()
        self._withdrawn = False

    def publish(self, status: RelayStatus) -> None:
        """Replace the whole file. It is not synced, because it has no meaning after a crash."""
        with self._writing:
            if self._withdrawn:
                return
            try:
                replace_file(self._path, msgspec.json.encode(status), synced=False)
            except OSError:  # no status is better than an old one
                self._remove()

    def withdraw(self) -> None:
        with self._writing:
            self._withdrawn = True
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink()


def read_status_file(directory: Path) -> SpoolProcesses:
    """As admin.SpoolStatistics.processes."""
    holder = holder_of(directory)
    if holder is None:
        return SpoolProcesses()
    status: RelayStatus | None = None
    with suppress(OSError, msgspec.DecodeError):
        status = _decoder.decode((directory / STATUS_FILE).read_bytes())
    if status is not None and not holder.startswith(f"process {status.process} "):
        status = None
    return SpoolProcesses(processes=[ProcessStatus(holder=holder, status=status)])


class EmbeddedStore(SpoolLookup):
    """Implements factory.SpoolStore, and the ports that keep no open database between two calls."""

    shared = False

    @property
    def name(self) -> str:
        return str(self._directory)

    def open(self, *, since: str) -> SqliteSpool:
        return SqliteSpool(self._directory, self._access, since=since)

    def join(self, *, kind: str, name: str) -> SharedSpool:  # noqa: ARG002 - for shared stores
        raise not_shared(self.name)

    def status_publisher(self) -> StatusFile:
        return StatusFile(self._directory)

    def exists(self) -> bool:
        return spool_exists(self._directory)

    def create_if_missing(self, *, since: str) -> None:
        create_if_missing(self._directory, self._access, since=since)

    def create(
        self,
        *,
        since: str = "",
        slots: int | None = None,  # noqa: ARG002 - it has none
        lease_seconds: float | None = None,  # noqa: ARG002 - it has none
    ) -> None:
        if spool_exists(self._directory):
            raise SpoolUnusable(f"the spool {self.name} already exists")
        create_if_missing(self._directory, self._access, since=since)

    def migrate(self, *, since: str) -> tuple[int, int]:
        return migrate_directory(self._directory, self._access, since=since)

    def move_source(self, *, since: str) -> SqliteMoveSource:
        return SqliteMoveSource(self._directory, self._access, since=since)

    def move_target(self, *, since: str) -> SqliteMoveTarget:
        return SqliteMoveTarget(self._directory, self._access, since=since)

    def dead_letters(self) -> SqliteDeadLetters:
        return SqliteDeadLetters(self._directory, self._access)

    def dead_letter_queries(self) -> SqliteDeadLetters:
        return SqliteDeadLetters(self._directory, self._access, mode="ro")

    def dead_letter_import(self) -> SqliteDeadLetterImport:
        return SqliteDeadLetterImport(self._directory, self._access)

    def webhook_control(self) -> SqliteWebhookControl:
        return SqliteWebhookControl(self._directory, self._access)

    def recipient_removal(self) -> SqliteRemoval:
        return SqliteRemoval(self._directory, self._access)

    def trace_search(self) -> EmbeddedStore:
        return self

    def statistics(self) -> EmbeddedStore:
        return self

    def dry_run(self) -> EmbeddedStore:
        return self

    def trace(self, wanted: str) -> Trace:
        return trace(self._directory, self._access, wanted)

    def spool_status(self, *, now: float) -> SpoolStatus:
        return read_spool_status(self._directory, self._access, now=now)

    def processes(self) -> SpoolProcesses:
        return read_status_file(self._directory)
