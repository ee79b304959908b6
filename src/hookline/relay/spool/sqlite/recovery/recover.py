"""`hookline spool recover`: the readable rows of a damaged spool are saved in a new one, and the loss is reported."""

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
from hookline.relay.spool.sqlite.database import DATABASE_FILE, create_or_open, make_directory, transaction
from hookline.relay.spool.sqlite.permissions import refusal_named
from hookline.relay.spool.sqlite.recovery.damaged_database import DamagedDatabase
from hookline.relay.spool.sqlite.recovery.salvage import OnSalvageProgress, Salvage


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The result. By kind (pending, dead, records, lines, webhooks): how many rows are in the new spool, and how many
    are known to be missing (None: not known).

    `complete`: the new spool holds everything that the old one held, as the tables, the indexes and the tally agree.
    Only then the positions of the sources are kept. Otherwise `dropped` positions are left out, and the relay reads
    sources from their start: saved events are duplicates by their ids, and lost ones are ingested again.
    """

    complete: bool
    saved: dict[str, int]
    lost: dict[str, int | None]
    positions: int
    dropped: int
    notes: list[str]


def recover(old: Path, new: Path, on_progress: OnSalvageProgress | None = None) -> Recovered:
    """Save the readable rows of the spool `old` in `new`, a directory that does not exist or is empty.

    Nothing is written to `old`. `new` appears when it is complete. `on_progress` gets the number of rows read so far
    and of all rows (None: not known). Raises WrongUse when `new` holds something; SpoolUnusable when `old` does not
    exist, has another format or is held by a relay, or when the disk has no room.
    """
    with refusal_named(new):
        return _recover(old, new, on_progress)


def _recover(old: Path, new: Path, on_progress: OnSalvageProgress | None) -> Recovered:
    if not (old / DATABASE_FILE).exists():
        raise SpoolUnusable(f"there is no spool at {old}", hint="name the directory that holds its spool.db")
    if new.exists() and (not new.is_dir() or any(new.iterdir())):
        raise WrongUse(
            f"{new} is there already", hint="name a directory that is not there yet: nothing is overwritten"
        )
    target = new.resolve()  # `.` has no name
    work = target.with_name(f".{target.name}.recovering")
    with _not_held(old), _empty(work):
        copy, made = work / "old", work / "new"
        make_directory(copy)
        make_directory(made)
        with closing(create_or_open(made)) as connection, DamagedDatabase(old, copy, connection) as damaged:
            recovered = _save(Salvage(damaged, connection, on_progress), damaged, connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        made.rename(target)
        sync_directory(target.parent)
    return recovered


def _save(salvage: Salvage, damaged: DamagedDatabase, connection: sqlite3.Connection) -> Recovered:
    whole = salvage.save_tables()
    tally = salvage.read_tally()
    saved = salvage.counts()
    lost = {
        kind: None if former is None else max(0, former - saved[kind])
        for kind, former in salvage.former_counts(tally).items()
    }
    complete = whole and not damaged.uncertain and salvage.agrees(saved, tally) and not any(lost.values())
    kept, dropped = salvage.save_positions(keep=complete)
    with transaction(connection):
        salvage.write_tally(tally, saved)
    return Recovered(
        complete=complete, saved=saved, lost=lost, positions=kept, dropped=dropped,
        notes=[*damaged.notes, *salvage.notes],
    )  # fmt: skip


@contextmanager
def _not_held(directory: Path) -> Iterator[None]:
    """Keep relays away from the spool. The lock is shared, so that its file is not written to."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise SpoolUnusable(f"the spool {directory} cannot be read: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as held:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise SpoolUnusable(f"the spool {directory} is held by {holder}", hint="stop that relay first") from held
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _empty(directory: Path) -> Iterator[None]:
    """A directory for this one run; the leftovers of an interrupted run are removed first."""
    shutil.rmtree(directory, ignore_errors=True)
    make_directory(directory)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
