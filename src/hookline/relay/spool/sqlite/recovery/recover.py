"""`hookline spool recover`: saves the readable rows of a damaged spool in a new one, and reports the loss."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from hookline.errors import SpoolUnusable, WrongUse
from hookline.private_files import sync_directory
from hookline.relay.spool.sqlite.database import DATABASE_FILE, create_directory, create_or_open, transaction
from hookline.relay.spool.sqlite.lock import LOCK_FILE, read_holder, try_lock
from hookline.relay.spool.sqlite.permissions import map_os_errors
from hookline.relay.spool.sqlite.recovery.damaged_database import DamagedDatabase
from hookline.relay.spool.sqlite.recovery.salvage import OnSalvageProgress, Salvage


class RecoveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `saved` and `lost` count the rows in the new spool and the missing rows (None: not known), by kind:
    pending, dead, records, lines, webhooks.

    `complete`: the tables, the indexes and the tally agree that nothing is missing. Only then the new spool has the
    `positions` of the sources. Otherwise `dropped` positions are left out, and the relay reads sources from their
    start: saved events are duplicates by their ids, and lost ones are ingested again.
    """

    complete: bool
    saved: dict[str, int]
    lost: dict[str, int | None]
    positions: int
    dropped: int
    notes: list[str]


def recover(old: Path, new: Path, on_progress: OnSalvageProgress | None = None) -> RecoveryResult:
    """Save the readable rows of the spool `old` in `new`, a directory that does not exist or is empty.

    Writes nothing to `old`. `new` appears when it is complete. `on_progress` gets the numbers of rows read so far and
    of all rows (None: not known). Raises WrongUse when `new` is not empty; SpoolUnusable when `old` does not exist,
    has another format or is held by a relay, or when the disk has no room.
    """
    with map_os_errors(new):
        if not (old / DATABASE_FILE).exists():
            raise SpoolUnusable(f"spool not found: {old}", hint="name the directory that contains its spool.db")
        if new.exists() and (not new.is_dir() or any(new.iterdir())):
            raise WrongUse(f"{new} already exists", hint="name a new directory, because nothing is overwritten")
        target = new.resolve()  # `.` has no name
        work = target.with_name(f".{target.name}.recovering")
        with _locked(old), _empty(work):
            copy, created = work / "old", work / "new"
            create_directory(copy)
            create_directory(created)
            with (
                closing(create_or_open(created)) as connection,
                closing(DamagedDatabase(old, copy, connection)) as damaged,
            ):
                recovered = _save(Salvage(damaged, connection, on_progress), damaged, connection)
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            created.rename(target)
            sync_directory(target.parent)
        return recovered


def _save(salvage: Salvage, damaged: DamagedDatabase, connection: sqlite3.Connection) -> RecoveryResult:
    whole = salvage.save_tables()
    tally = salvage.read_tally()
    saved = salvage.saved_counts()
    lost = {
        kind: None if former is None else max(0, former - saved[kind])
        for kind, former in salvage.former_counts(tally).items()
    }
    complete = whole and damaged.complete and salvage.agrees(saved, tally) and not any(lost.values())
    kept, dropped = salvage.save_positions(keep=complete)
    with transaction(connection):
        salvage.write_tally(tally, saved)
    return RecoveryResult(
        complete=complete, saved=saved, lost=lost, positions=kept, dropped=dropped,
        notes=damaged.notes,
    )  # fmt: skip


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep relays away from the spool. The lock is shared, so that its file is not written to."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise SpoolUnusable(f"the spool {directory} cannot be read: {error.strerror}") from error
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            holder = read_holder(descriptor)
            raise SpoolUnusable(f"the spool {directory} is held by {holder}", hint="stop that relay first")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _empty(directory: Path) -> Iterator[None]:
    """A directory for this run. Removes the rest of an interrupted run first."""
    shutil.rmtree(directory, ignore_errors=True)
    create_directory(directory)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
