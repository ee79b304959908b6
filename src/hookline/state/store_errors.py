"""The errors of both state stores, and the mapping of SQLite's result codes to them."""

from __future__ import annotations

from pathlib import Path

from hookline.errors import HooklineError, Stale, StateUnusable
from hookline.state.history_chain import time_text
from hookline.state.store import HistoryEntry, Snapshot

# Each line: "1: POSIX  ADVISORY  WRITE 4711 fd:01:12345 1073741824 1073742335"
# (https://man7.org/linux/man-pages/man5/proc_locks.5.html)
_LOCKS = Path("/proc/locks")
_BACKUP = "restore the file from a backup; hookline never rebuilds a state by itself"


def damaged_state_error(where: object, detail: str, *, hint: str = _BACKUP) -> StateUnusable:
    """Return the error for a state that is damaged. `where` is its path or address, as messages print it."""
    return StateUnusable(f"the state {where} is damaged: {detail}", hint=hint)


def newer_format_error(where: object, found: int, known: int) -> StateUnusable:
    return StateUnusable(
        f"the state {where} was written by a newer hookline (format {found}; this one reads {known})",
        hint="upgrade hookline, here and wherever else it uses this state",
    )


def earlier_build_error(where: object, move: str) -> StateUnusable:
    """Return the error for a state of a build before the first release. `move` is the command that moves it away."""
    return StateUnusable(
        f"the state {where} was written by a build of hookline before its first release, and cannot be read",
        hint=f"{move}, then run `hookline apply`: it creates a new state from the webhook files, with no history",
    )


def stale_state_error(detail: str, last: HistoryEntry | None = None) -> Stale:
    """Return the error for a state that has changed since it was read. `last` is the apply that changed it."""
    if last is not None:
        commit = f" at commit {last.commit[:12]}" if last.commit else ""
        detail += f", applied by {last.who} on {time_text(last.at)}{commit}"
    return Stale(detail, hint="nothing was changed; plan again, and apply the new plan")


def raise_if_stale(where: object, base: Snapshot, found: tuple[str, int] | None, last: HistoryEntry | None) -> None:
    """Raise Stale unless `base` is still the stored state.

    Args:
        where: The path or address of the state, as messages print it.
        base: The state that the change was decided on.
        found: Lineage and serial of the stored state; None if there is no state.
        last: The last apply, if it can be read.
    """
    if found is None:
        if base.lineage is not None:
            hint = "nothing was changed; find out who removed it, restore it, and plan again"
            raise Stale(f"the state {where} no longer exists: it was read at serial {base.serial}", hint=hint)
        return
    lineage, serial = found
    if base.lineage is None:
        detail = f"the state {where} was created since the plan was made: it is at serial {serial}"
    elif base.lineage != lineage:
        detail = f"{where} now holds another state: lineage {lineage}; the plan was made on {base.lineage}"
    elif base.serial != serial:
        detail = f"the state {where} has changed: the plan was made on serial {base.serial}, now it is at {serial}"
    else:
        return
    raise stale_state_error(detail, last)


def lock_holder(path: Path) -> int | None:
    """The id of the process that holds a write lock on `path`; None if it is unknown."""
    try:
        inode, lines = path.stat().st_ino, _LOCKS.read_text().splitlines()
    except OSError:
        return None
    return find_write_lock(lines, inode)


def find_write_lock(lines: list[str], inode: int) -> int | None:
    """The id of the process with a write lock on `inode`; None if there is none, or in another PID namespace."""
    for line in lines:
        fields = line.split()
        if fields[1:4] == ["POSIX", "ADVISORY", "WRITE"] and fields[5].rpartition(":")[2] == str(inode):
            return int(fields[4]) if int(fields[4]) > 0 else None
    return None


def sqlite_state_error(path: Path, result: str, text: str) -> HooklineError:
    """Map an error. `result` is the name of its code (https://www.sqlite.org/rescode.html), "" if there is none."""
    if result == "SQLITE_READONLY_ROLLBACK":
        hint = "run `hookline list` once as a user who may write the state"
        return StateUnusable(f"an apply to {path} was interrupted, and undoing it needs write access", hint=hint)
    match result.split("_")[1:2]:
        case ["BUSY" | "LOCKED"]:
            process = lock_holder(path)
            by = "another process" if process is None else f"another process ({process})"
            hint = "another apply is running: wait for it, or use --lock-timeout 30s"
            return StateUnusable(f"the state {path} is locked by {by}", hint=hint)
        case ["NOTADB"]:
            hint = f"name the state's file with --state, or {_BACKUP}"
            return StateUnusable(f"{path} is not an SQLite database", hint=hint)
        case ["READONLY" | "CANTOPEN" | "PERM" | "AUTH"]:
            hint = "check the permissions of the file and of its directory"
            return StateUnusable(f"the state {path} cannot be opened: {text}", hint=hint)
        case ["FULL" | "IOERR"]:
            return HooklineError(f"the state {path}: {text}", hint="nothing was changed; check the disk")
        case _:
            return damaged_state_error(path, text)
