"""The embedded store: a directory with an SQLite database. Only the modules of this store open its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hookline.model import Address
from hookline.observe.snapshot import RelayStatus, SpoolStatus
from hookline.relay.spool.admin import Backlog, Trace
from hookline.relay.spool.spool import EndpointState
from hookline.relay.spool.sqlite.database import make_if_missing
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetterImport, SqliteDeadLetters
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.stats import SpoolLookup, survey
from hookline.relay.spool.sqlite.status_file import StatusFile, read_status_file
from hookline.relay.spool.sqlite.trace import trace
from hookline.relay.spool.sqlite.webhook_control import SqliteWebhookControl


class EmbeddedStore:
    """Implements factory.SpoolStore, and the ports that need no open database between two calls."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def name(self) -> str:
        return str(self._directory)

    def open(self, *, since: str) -> SqliteSpool:
        return SqliteSpool(self._directory, since=since)

    def status_publisher(self) -> StatusFile:
        return StatusFile(self._directory)

    def create_if_missing(self, *, since: str) -> None:
        make_if_missing(self._directory, since=since)

    def dead_letters(self) -> SqliteDeadLetters:
        return SqliteDeadLetters(self._directory)

    def dead_letter_import(self) -> SqliteDeadLetterImport:
        return SqliteDeadLetterImport(self._directory)

    def webhook_control(self) -> SqliteWebhookControl:
        return SqliteWebhookControl(self._directory)

    def trace_search(self) -> EmbeddedStore:
        return self

    def statistics(self) -> EmbeddedStore:
        return self

    def dry_run(self) -> SpoolLookup:
        return SpoolLookup(self._directory)

    # -- admin.TraceSearch

    def trace(self, what: str) -> Trace:
        return trace(self._directory, what)

    # -- admin.SpoolStatistics

    def spool_status(self, *, now: float) -> SpoolStatus:
        return survey(self._directory, now=now)

    def relay_status(self) -> tuple[str | None, RelayStatus | None]:
        return read_status_file(self._directory)

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        return SpoolLookup(self._directory).backlogs()

    def webhook_states(self) -> Mapping[Address, EndpointState]:
        return SpoolLookup(self._directory).standing()
