"""Why a state is not read or written, in our words: the one place where SQLite's results become errors of ours."""

from __future__ import annotations

from pathlib import Path

from hookline.errors import HooklineError, Stale, StateUnusable
from hookline.state.snapshot import Snapshot

_BACKUP = "restore the file from a backup; hookline never rebuilds a state by itself"


def damaged(path: Path, what: str) -> StateUnusable:
    return StateUnusable(f"the state {path} is damaged: {what}", hint=_BACKUP)


def newer(path: Path, found: int, known: int) -> StateUnusable:
    return StateUnusable(
        f"the state {path} was written by a newer hookline (format {found}; this one reads {known})",
        hint="upgrade hookline, here and wherever else it uses this state",
    )


def foreign(path: Path) -> StateUnusable:
    return StateUnusable(
        f"{path} is an SQLite database, but not a state of hookline", hint="name the state's file with --state"
    )


def moved(what: str) -> Stale:
    return Stale(what, hint="nothing was changed; plan again, and apply what that shows")


def refuse_stale(path: Path, base: Snapshot, lineage: str, serial: int) -> None:
    """Raise Stale unless `base` is still what is stored."""
    if base.lineage is None:
        raise moved(f"the state {path} was made by another apply meanwhile (now serial {serial})")
    if base.lineage != lineage:
        raise moved(f"{path} holds another state by now (lineage {lineage}; this was planned on {base.lineage})")
    if base.serial != serial:
        raise moved(f"the state {path} has moved: this was planned on serial {base.serial}, now it is at {serial}")


def from_sqlite(path: Path, result: str, text: str) -> HooklineError:
    """`result` is the extended result code's name (https://www.sqlite.org/rescode.html), "" where there is none."""
    if result == "SQLITE_READONLY_ROLLBACK":
        return StateUnusable(
            f"an apply to {path} was interrupted, and what it left cannot be undone without write access",
            hint="run `hookline list` once as a user who may write the state",
        )
    match result.split("_")[1:2]:
        case ["BUSY" | "LOCKED"]:
            return StateUnusable(
                f"the state {path} is locked by another process",
                hint="another apply is at work: wait for it, or give --lock-timeout 30s",
            )
        case ["NOTADB"]:
            return StateUnusable(
                f"{path} is not an SQLite database", hint=f"name the state's file with --state, or {_BACKUP}"
            )
        case ["READONLY" | "CANTOPEN" | "PERM" | "AUTH"]:
            return StateUnusable(
                f"the state {path} cannot be opened: {text}",
                hint="check the permissions of the file and of its directory",
            )
        case ["FULL" | "IOERR"]:
            return HooklineError(f"the state {path}: {text}", hint="nothing was changed; check the disk")
        case _:
            return damaged(path, text)
