"""`spool recover`: what can be read of a damaged spool, in a new one; and what could not be."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from hookline.errors import SpoolUnusable, WrongUse
from hookline.relay.spool.damaged import Damaged
from hookline.relay.spool.database import FILE, create_or_open, make_directory, sync_directory, transaction
from hookline.relay.spool.guarding import refusal_named
from hookline.relay.spool.saving import Saving, Told

KINDS: Final = ("pending", "dead", "records", "lines", "webhooks")


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. By kind (KINDS): how many are in the new spool, and how many are known to be missing (None:
    nobody can tell).

    `complete`: everything that was in the old spool is in the new one, by more than one account of it. Only then are
    the positions of the sources kept; otherwise `dropped` of them were left out, and sources are read again from
    their start: what was saved is recognized by its id, what was lost is had again.
    """

    complete: bool
    saved: dict[str, int]
    lost: dict[str, int | None]
    positions: int
    dropped: int
    notes: list[str]


def recover(old: Path, new: Path, told: Told | None = None) -> Recovered:
    """Save what can be read of the spool `old` into `new`, which must not be there yet, or be empty.

    `told` hears how many rows were looked at, and how many there seem to be, as it goes on. Nothing is written to the
    old one. The new one is there when all is done, or not at all. Raises WrongUse when it is there already;
    SpoolUnusable when there is no old one, a relay holds it, or there is no room.
    """
    with refusal_named(new):
        return _recover(old, new, told)


def _recover(old: Path, new: Path, told: Told | None) -> Recovered:
    if not (old / FILE).exists():
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
        with Damaged(old, copy) as damaged, closing(create_or_open(made)) as connection:
            recovered = _save(Saving(damaged, connection, told), damaged, connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        made.rename(target)
        sync_directory(target.parent)
    return recovered


def _save(saving: Saving, damaged: Damaged, connection: sqlite3.Connection) -> Recovered:
    whole = saving.webhooks() & saving.deliveries() & saving.lines()
    if not whole:
        saving.from_pages()
    tally = saving.read_tally()
    saved = saving.counts()
    lost = {kind: _missing(saved[kind], accounts) for kind, accounts in saving.accounts(tally).items()}
    complete = whole and not damaged.uncertain and saving.agrees(saved, tally) and not any(lost.values())
    kept, dropped = saving.positions(keep=complete)
    with transaction(connection):
        saving.write_tally(tally, saved)
    return Recovered(
        complete=complete, saved=saved, lost=lost, positions=kept, dropped=dropped,
        notes=[*damaged.notes, *saving.notes],
    )  # fmt: skip


def _missing(saved: int, accounts: Sequence[int | None]) -> int | None:
    """By the first account that there is."""
    known = [account for account in accounts if account is not None]
    return max(0, known[0] - saved) if known else None


@contextmanager
def _not_held(directory: Path) -> Iterator[None]:
    """No relay works on it meanwhile. The lock is only shared: its file is not written to."""
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
    """A directory for this one run; what an interrupted one has left is removed first."""
    shutil.rmtree(directory, ignore_errors=True)
    make_directory(directory)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
