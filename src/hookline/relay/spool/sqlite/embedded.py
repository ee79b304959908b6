"""The embedded store: a directory with an SQLite database. Only the modules of this store open its files.

A running relay shows its status to other commands in a file of the directory. Only the relay that holds the lock
writes the file, and it removes the file at its end. After a kill the file remains, but the lock is free.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from hookline.observe.snapshot import RelayStatus, SpoolStatus
from hookline.private_files import replace_file
from hookline.relay.spool.admin import Trace
from hookline.relay.spool.sqlite.database import create_if_missing
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetterImport, SqliteDeadLetters
from hookline.relay.spool.sqlite.lock import holder_of
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.stats import SpoolLookup, read_spool_status
from hookline.relay.spool.sqlite.trace import trace
from hookline.relay.spool.sqlite.webhook_status import SqliteWebhookControl

STATUS_FILE: Final = "relay.json"
_decoder = msgspec.json.Decoder(RelayStatus)


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


def read_status_file(directory: Path) -> tuple[str | None, RelayStatus | None]:
    """As admin.SpoolStatistics.relay_status."""
    holder = holder_of(directory)
    if holder is None:
        return None, None
    try:
        status = _decoder.decode((directory / STATUS_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return holder, None
    return holder, status if holder.startswith(f"process {status.process} ") else None


class EmbeddedStore(SpoolLookup):
    """Implements factory.SpoolStore, and the ports that keep no open database between two calls."""

    @property
    def name(self) -> str:
        return str(self._directory)

    def open(self, *, since: str) -> SqliteSpool:
        return SqliteSpool(self._directory, self._access, since=since)

    def status_publisher(self) -> StatusFile:
        return StatusFile(self._directory)

    def create_if_missing(self, *, since: str) -> None:
        create_if_missing(self._directory, self._access, since=since)

    def dead_letters(self) -> SqliteDeadLetters:
        return SqliteDeadLetters(self._directory, self._access)

    def dead_letter_import(self) -> SqliteDeadLetterImport:
        return SqliteDeadLetterImport(self._directory, self._access)

    def webhook_control(self) -> SqliteWebhookControl:
        return SqliteWebhookControl(self._directory, self._access)

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

    def relay_status(self) -> tuple[str | None, RelayStatus | None]:
        return read_status_file(self._directory)
